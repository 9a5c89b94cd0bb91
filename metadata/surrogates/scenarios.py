"""Lists of configurations from past pairs taken as scenarios of what a new pair may be like.

The greedy portfolio weighs all datasets alike. A learnt list has as its first entry the best by
what a model expects here rather than on average; the others complement it as in a portfolio, so
that a model that errs costs one run. They look at what is better than the median alone: how bad a
scenario would be otherwise is chance, which the few datasets with great losses would decide by.

Axes: T past pairs (scenarios), C candidates, G datasets, S settings.
"""

from collections.abc import Sequence

import numpy as np

from metadata.arrays import Booleans, Floats, Integers


def balance(group_T: Integers) -> Floats:
    """Return weights that sum to 1 and give each dataset the same share."""
    _, member_T, count_G = np.unique(group_T, return_inverse=True, return_counts=True)
    weight_T: Floats = 1.0 / (len(count_G) * count_G[member_T])
    return weight_T


def fill(regret_TC: Floats, weight_T: Floats) -> Floats:
    """Return scenarios without gaps: what was not run gets its candidate's mean, or that of all."""
    known_TC = np.isfinite(regret_TC)
    share_TC = weight_T[:, None] * known_TC
    sum_C = (share_TC * np.where(known_TC, regret_TC, 0.0)).sum(axis=0)
    total_C = share_TC.sum(axis=0)
    mean_C = np.full(len(total_C), sum_C.sum() / max(total_C.sum(), 1e-12))
    np.divide(sum_C, total_C, out=mean_C, where=total_C > 0)
    return np.where(known_TC, regret_TC, mean_C)


def greedy(
    scenario_TC: Floats,
    weight_T: Floats,
    *,
    count: int,
    allowed_C: Booleans | None = None,
    first_C: Floats | None = None,
    most: float = np.inf,
) -> Integers:
    """Return a list whose best so far has the least expected regret after each entry.

    Args:
        scenario_TC: Regret of each candidate in each scenario, without gaps.
        weight_T: Weight of each scenario, summing to 1.
        count: Entries at most; all allowed candidates where there are fewer.
        allowed_C: Candidates that may be picked, all where not given.
        first_C: What the first is picked by, the mean over scenarios where not given.
        most: Regret that a list has at most, once it has a first entry: greater ones are alike.

    Returns:
        Columns, in the order picked. Ties go to the lower mean, then to the lower column.

    Paper: Xu, Hoos, Leyton-Brown, Hydra (AAAI 2010); Feurer et al., Auto-sklearn 2.0 (2022).
    """
    open_C = np.ones(scenario_TC.shape[1], dtype=bool) if allowed_C is None else allowed_C.copy()
    mean_C = weight_T @ scenario_TC
    best_T = np.full(len(scenario_TC), most)
    order: list[int] = []
    while len(order) < count and open_C.any():
        if order:
            gained_C = weight_T @ np.minimum(best_T[:, None], scenario_TC)
        else:
            gained_C = mean_C if first_C is None else first_C
        cost_C = np.where(open_C, np.round(gained_C, 12), np.inf)
        tied_C = cost_C == cost_C.min()
        pick = int(np.argmin(np.where(tied_C, mean_C, np.inf)))
        best_T = np.minimum(best_T, scenario_TC[:, pick])
        open_C[pick] = False
        order.append(pick)
    return np.array(order, dtype=np.int64)


def steadied(expected_C: Floats, mean_C: Floats, known_C: Booleans, *, by: float) -> Floats:
    """Return what is expected, lower by so much for what is best on average among the known.

    It is picked first then, unless another is expected to be better by more than that: of two that
    hardly differ a few datasets would decide.
    """
    steadied_C = expected_C.copy()
    if known_C.any():
        steadied_C[np.argmin(np.where(known_C, mean_C, np.inf))] -= by
    return steadied_C


def best_so_far(regret_C: Floats, order: Sequence[int] | Integers, counts: Sequence[int]) -> Floats:
    """Return the least regret among the first k of a list, for each k of `counts`."""
    best = np.minimum.accumulate(regret_C[np.asarray(order, dtype=np.int64)])
    return np.array([best[min(count, len(best)) - 1] for count in counts])


def group_means(value_TQ: Floats, group_T: Integers) -> Floats:
    """Return means over the pairs of each dataset, datasets in order."""
    groups = np.unique(group_T)
    return np.array([value_TQ[group_T == group].mean(axis=0) for group in groups])


def choose(loss_SG: Floats) -> int:
    """Return the simplest setting within one standard error of the best.

    Settings come simplest first. The standard error is that of the paired difference to the best
    over datasets, so that a gain which a few datasets carry does not count.

    Paper: Breiman et al. (1984), Classification and Regression Trees, the one-SE rule.
    """
    best = int(np.argmin(loss_SG.mean(axis=1)))
    difference_SG = loss_SG - loss_SG[best]
    error_S = difference_SG.std(axis=1, ddof=1) / np.sqrt(loss_SG.shape[1])
    within_S = difference_SG.mean(axis=1) <= error_S
    return int(np.flatnonzero(within_S)[0])


def squares(a_AF: Floats, b_BF: Floats) -> Floats:
    """Return mean squared differences over features, A x B."""
    inner_AB = a_AF @ b_BF.T
    squares_AB = (a_AF**2).sum(axis=1)[:, None] + (b_BF**2).sum(axis=1) - 2.0 * inner_AB
    mean_AB: Floats = np.maximum(squares_AB, 0.0) / a_AF.shape[1]
    return mean_AB
