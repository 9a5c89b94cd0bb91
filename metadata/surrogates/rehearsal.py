"""What the greedy portfolio would have done on datasets left out.

Axes: T past pairs, Q list lengths.
"""

from collections.abc import Sequence

import numpy as np

from metadata.arrays import Floats
from metadata.surrogates.portfolio import Scenarios
from metadata.surrogates.scenarios import balance, best_so_far, fill, greedy

COUNTS = (1, 2, 4, 8, 16)
# What was learnt is proven by lists this long: the first entry matters most and is in all of them.
PROOF_COUNTS = (1, 2, 4)


def rehearse(scenarios: Scenarios, *, counts: Sequence[int]) -> Floats:
    """Return the regret of the best so far on each pair by the others' portfolio, T x Q."""
    regret_TK, group_T = scenarios.regret_TK, scenarios.group_T
    rehearsed = []
    for regret_K, group in zip(regret_TK, group_T, strict=True):
        others_T = group_T != group
        weight_T = balance(group_T[others_T])
        filled_TK = fill(regret_TK[others_T], weight_T)
        allowed_K = np.isfinite(regret_K)
        order = greedy(filled_TK, weight_T, count=max(counts), allowed_C=allowed_K)
        rehearsed.append(best_so_far(regret_K, order, counts))
    return np.array(rehearsed)
