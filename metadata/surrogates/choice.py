"""How far to leave the portfolio, by what it would have done on datasets left out.

Axes: T past pairs, K core configurations, S settings, G datasets, Q list lengths.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metadata.arrays import Floats
from metadata.surrogates.portfolio import Scenarios
from metadata.surrogates.scenarios import (
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
    shift_TK: Floats


def order_for(rehearsal: Rehearsal, pair: int, setting: Setting, *, count: int) -> tuple[int, ...]:
    """Return the list for one past pair, from the pairs of other datasets."""
    scenarios = rehearsal.scenarios
    others_T = scenarios.group_T != scenarios.group_T[pair]
    scenario_TK, weight_T = expect(
        scenarios.regret_TK[others_T],
        weigh(
            scenarios.group_T[others_T],
            scenarios.distances.to_known(scenarios.task_TT[pair])[others_T],
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
    """Return the simplest setting within one standard error of the best."""
    regret_STQ = rehearse(rehearsal, SETTINGS, counts=CHOICE_COUNTS)
    group_T = rehearsal.scenarios.group_T
    loss_SG = [group_means(regret_TQ, group_T).mean(axis=1) for regret_TQ in regret_STQ]
    return SETTINGS[choose(np.array(loss_SG))]
