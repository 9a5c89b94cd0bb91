"""What lists would have done on datasets left out.

Axes: T past pairs, Q list lengths.
"""

from collections.abc import Sequence

import numpy as np

from metadata.arrays import Floats
from metadata.surrogates.leanings import fit_leanings, try_ridges
from metadata.surrogates.portfolio import Scenarios
from metadata.surrogates.scenarios import balance, best_so_far, fill, greedy

COUNTS = (1, 2, 4, 8, 16)
# What was learnt is proven by lists this long: the first entry matters most and is in all of them.
PROOF_COUNTS = (1, 2, 4)


def rehearse_learnt(scenarios: Scenarios, *, counts: Sequence[int]) -> Floats:
    """Return the same of the learnt list: its strength and trust are chosen by the others too."""
    rehearsed = np.empty((len(scenarios.regret_TK), len(counts)))
    for group in np.unique(scenarios.group_T):
        held_T = scenarios.group_T == group
        others = scenarios.take(~held_T)
        trial = try_ridges(others)
        leanings = fit_leanings(others, ridge=trial.ridge)
        for pair in np.flatnonzero(held_T):
            shift_K = trial.trust * leanings.shift(scenarios.task_TT[pair])
            regret_K = scenarios.regret_TK[pair]
            rehearsed[pair] = _regrets(others, regret_K, counts, shift_K=shift_K)
    return rehearsed


def rehearse(scenarios: Scenarios, *, counts: Sequence[int]) -> Floats:
    """Return the regret of the best so far on each pair by the others' portfolio, T x Q."""
    return np.array(
        [
            _regrets(scenarios.take(scenarios.group_T != group), regret_K, counts)
            for regret_K, group in zip(scenarios.regret_TK, scenarios.group_T, strict=True)
        ]
    )


def _regrets(
    others: Scenarios, regret_K: Floats, counts: Sequence[int], *, shift_K: Floats | float = 0.0
) -> Floats:
    """Return the regret of the best so far of the list that others give, Q."""
    weight_T = balance(others.group_T)
    filled_TK = fill(others.regret_TK, weight_T)
    order = greedy(
        filled_TK,
        weight_T,
        count=max(counts),
        allowed_C=np.isfinite(regret_K),
        first_C=weight_T @ filled_TK + shift_K,
    )
    return best_so_far(regret_K, order, counts)
