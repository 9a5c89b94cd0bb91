"""What lists would have done on datasets left out.

Axes: T past pairs, K core configurations, Q list lengths.
"""

from collections.abc import Sequence

import numpy as np

from metadata.arrays import Floats
from metadata.regret import MEDIAN_REGRET
from metadata.surrogates.portfolio import Scenarios
from metadata.surrogates.scenarios import balance, best_so_far, fill, greedy

COUNTS = (1, 2, 4, 8, 16)


def rehearse(
    scenarios: Scenarios, *, counts: Sequence[int], change_TK: Floats | None = None
) -> Floats:
    """Return the regret of the best so far on each pair by the others' list, T x Q.

    Args:
        scenarios: The pairs.
        counts: List lengths.
        change_TK: What is said to change on each pair. Without it the list is the portfolio.
    """
    rehearsed = np.empty((len(scenarios.regret_TK), len(counts)))
    for group in np.unique(scenarios.group_T):
        held_T = scenarios.group_T == group
        others = scenarios.take(~held_T)
        weight_T = balance(others.group_T)
        scenario_TK = fill(others.regret_TK, weight_T) if change_TK is None else others.lasting
        for pair in np.flatnonzero(held_T):
            regret_K = scenarios.regret_TK[pair]
            order = greedy(
                scenario_TK,
                weight_T,
                count=max(counts),
                allowed_C=np.isfinite(regret_K),
                first_C=None if change_TK is None else weight_T @ scenario_TK + change_TK[pair],
                most=np.inf if change_TK is None else MEDIAN_REGRET,
            )
            rehearsed[pair] = best_so_far(regret_K, order, counts)
    return rehearsed
