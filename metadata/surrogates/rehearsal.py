"""What lists would have done on datasets left out.

Axes: T past pairs, K core configurations, Q list lengths.
"""

from collections.abc import Sequence

import numpy as np

from metadata.arrays import Floats
from metadata.regret import INDIFFERENT_REGRET, MEDIAN_REGRET
from metadata.surrogates.portfolio import Scenarios
from metadata.surrogates.scenarios import balance, best_so_far, fill, greedy, steadied

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
            ran_K, first_K = np.isfinite(regret_K), None
            if change_TK is not None:
                mean_K = weight_T @ scenario_TK
                changed_K = mean_K + change_TK[pair]
                first_K = steadied(changed_K, mean_K, ran_K, by=INDIFFERENT_REGRET)
            order = greedy(
                scenario_TK,
                weight_T,
                count=max(counts),
                allowed_C=ran_K,
                first_C=first_K,
                most=np.inf if change_TK is None else MEDIAN_REGRET,
            )
            rehearsed[pair] = best_so_far(regret_K, order, counts)
    return rehearsed
