"""How far to leave the portfolio, by what it would have done on datasets left out.

Axes: T past pairs, K core configurations, S settings, G datasets, Q list lengths.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metadata.arrays import Floats, Integers
from metadata.surrogates.distance import Distances
from metadata.surrogates.portfolio import Scenarios
from metadata.surrogates.scenarios import (
    PORTFOLIO,
    SETTINGS,
    Setting,
    best_so_far,
    choose,
    fill,
    greedy,
    group_means,
    weigh,
)

COUNTS = (1, 2, 4, 8, 16)
# A setting is chosen by lists this long: the first entry matters most and is in all of them.
CHOICE_COUNTS = (1, 2, 4)
_SAME = 1e-9  # regrets this close are those of the same run


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """Past pairs, each with what was forecast of it by models that never saw its dataset."""

    scenarios: Scenarios
    distances: Distances
    shift_TK: Floats


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Mean regret on datasets left out, by list length; and of each dataset."""

    groups: tuple[int, ...]
    ours_GQ: Floats
    portfolio_GQ: Floats


def order_for(rehearsal: Rehearsal, pair: int, setting: Setting, *, count: int) -> tuple[int, ...]:
    """Return the list for one past pair, from the pairs of other datasets."""
    scenarios = rehearsal.scenarios
    others_T = scenarios.group_T != scenarios.group_T[pair]
    scenario_TK, weight_T = expect(
        scenarios.regret_TK[others_T],
        weigh(
            scenarios.group_T[others_T],
            rehearsal.distances.to_known(scenarios.task_TT[pair])[others_T],
            locality=setting.locality,
        ),
        setting.trust * rehearsal.shift_TK[pair],
    )
    allowed_K = np.isfinite(scenarios.regret_TK[pair])
    return tuple(greedy(scenario_TK, weight_T, count=count, allowed_C=allowed_K).tolist())


def expect(regret_TC: Floats, weight_T: Floats, shift_C: Floats) -> tuple[Floats, Floats]:
    """Return scenarios without gaps, moved by what a task changes, and their weights."""
    return fill(regret_TC, weight_T) + np.nan_to_num(shift_C), weight_T


def rehearse(rehearsal: Rehearsal, settings: Sequence[Setting], *, counts: Sequence[int]) -> Floats:
    """Return the regret of the best so far that each setting would have had, S x T x Q."""
    regret_TK = rehearsal.scenarios.regret_TK
    return np.array(
        [
            [
                best_so_far(
                    regret_TK[pair],
                    order_for(rehearsal, pair, setting, count=max(counts)),
                    counts,
                )
                for pair in range(len(regret_TK))
            ]
            for setting in settings
        ]
    )


def choose_setting(rehearsal: Rehearsal) -> Setting:
    """Return the simplest setting within one standard error of the best that may be chosen.

    One that changes the first run may be chosen only where it gains more there than one standard
    error over datasets: the first run is what most users make.
    """
    regret_SGQ = _by_dataset(rehearsal, CHOICE_COUNTS)
    return SETTINGS[_choose(regret_SGQ)]


def hold_out(rehearsal: Rehearsal) -> HeldOut:
    """Return what each dataset would have seen, the setting chosen on the others.

    The bags behind the other datasets' forecasts may have seen this one; `metadata.evaluation`
    fits them again without it.
    """
    regret_SGQ = _by_dataset(rehearsal, COUNTS)
    judged_SGQ = regret_SGQ[:, :, [COUNTS.index(count) for count in CHOICE_COUNTS]]
    datasets = range(regret_SGQ.shape[1])
    chosen_G = [_choose(np.delete(judged_SGQ, g, axis=1)) for g in datasets]
    return HeldOut(
        groups=tuple(int(group) for group in np.unique(rehearsal.scenarios.group_T)),
        ours_GQ=np.array([regret_SGQ[chosen_G[g], g] for g in datasets]),
        portfolio_GQ=regret_SGQ[SETTINGS.index(PORTFOLIO)],
    )


def _choose(regret_SGQ: Floats) -> int:
    allowed_S = _may_be_chosen(regret_SGQ[:, :, 0])
    return int(allowed_S[choose(regret_SGQ.mean(axis=2)[allowed_S])])


def _may_be_chosen(first_SG: Floats) -> Integers:
    gain_SG = first_SG[SETTINGS.index(PORTFOLIO)] - first_SG
    error_S = gain_SG.std(axis=1, ddof=1) / np.sqrt(gain_SG.shape[1])
    is_same_S = np.abs(gain_SG).max(axis=1) < _SAME
    allowed_S: Integers = np.flatnonzero(is_same_S | (gain_SG.mean(axis=1) > error_S))
    return allowed_S


def _by_dataset(rehearsal: Rehearsal, counts: Sequence[int]) -> Floats:
    """Return mean regrets of each setting on each dataset, S x G x Q."""
    regret_STQ = rehearse(rehearsal, SETTINGS, counts=counts)
    group_T = rehearsal.scenarios.group_T
    return np.array([group_means(regret_TQ, group_T) for regret_TQ in regret_STQ])
