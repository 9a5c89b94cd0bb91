"""How far to leave the portfolio, by what it would have done on datasets left out.

Axes: T past pairs, K core configurations, S settings, G datasets, Q list lengths.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metadata.arrays import Floats
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
    """Return the simplest setting within one standard error of the best.

    It is the portfolio where settings chosen so on all datasets but one lose to the portfolio at
    the first run of that one: then choosing itself does not carry over.
    """
    regret_STQ = rehearse(rehearsal, SETTINGS, counts=CHOICE_COUNTS)
    ours_GQ, portfolio_GQ = _left_out(regret_STQ, _losses(regret_STQ, rehearsal), rehearsal)
    if ours_GQ[:, 0].mean() > portfolio_GQ[:, 0].mean():
        return PORTFOLIO
    return SETTINGS[choose(_losses(regret_STQ, rehearsal))]


def hold_out(rehearsal: Rehearsal) -> HeldOut:
    """Return what each dataset would have seen, the setting chosen on the others.

    Where `choose_setting` falls back to the portfolio, ours is the portfolio here too.

    The bags behind the other datasets' forecasts may have seen this one; `metadata.evaluation`
    fits them again without it.
    """
    regret_STQ = rehearse(rehearsal, SETTINGS, counts=COUNTS)
    chosen_STQ = regret_STQ[:, :, [COUNTS.index(count) for count in CHOICE_COUNTS]]
    ours_GQ, portfolio_GQ = _left_out(regret_STQ, _losses(chosen_STQ, rehearsal), rehearsal)
    falls_back = ours_GQ[:, 0].mean() > portfolio_GQ[:, 0].mean()
    return HeldOut(
        groups=tuple(int(group) for group in np.unique(rehearsal.scenarios.group_T)),
        ours_GQ=portfolio_GQ if falls_back else ours_GQ,
        portfolio_GQ=portfolio_GQ,
    )


def _left_out(regret_STQ: Floats, loss_SG: Floats, rehearsal: Rehearsal) -> tuple[Floats, Floats]:
    """Return regrets of each dataset by the setting that the others choose, and portfolio's."""
    regret_SGQ = np.array(
        [group_means(regret_TQ, rehearsal.scenarios.group_T) for regret_TQ in regret_STQ]
    )
    ours_GQ = np.array(
        [regret_SGQ[choose(np.delete(loss_SG, g, axis=1)), g] for g in range(loss_SG.shape[1])]
    )
    portfolio_GQ: Floats = regret_SGQ[SETTINGS.index(PORTFOLIO)]
    return ours_GQ, portfolio_GQ


def _losses(regret_STQ: Floats, rehearsal: Rehearsal) -> Floats:
    group_T = rehearsal.scenarios.group_T
    return np.array([group_means(regret_TQ, group_T).mean(axis=1) for regret_TQ in regret_STQ])
