"""How the regret of each core configuration leans with what there is to learn on a task.

A ridge regression for each configuration, all with one strength, on few features: how many
examples, how long their completions, how much of both against the size of the model. That number
decides first which configurations suit; boosted trees on all features, tried before, followed the
noise of a few dozen datasets and chose worse than no model.
Paper: Hoerl, Kennard (1970), Ridge Regression.

Axes: T past pairs, K core configurations, J features looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metadata.arrays import Floats, Integers
from metadata.surrogates.portfolio import Scenarios
from metadata.surrogates.scenarios import balance, fill

LOOKED_AT = (
    "log2_examples",
    "log2_completion_tokens",
    "log2_target_tokens_per_parameter",
    "log2_parameters",
)
RIDGES = (3.0, 10.0, 30.0, 100.0, 300.0)  # in pairs: so many count against what is learnt
SMALLEST = 1e-12
SMALLEST_SPREAD = 1e-6  # of a feature; below, it is constant but for rounding


@dataclass(frozen=True, kw_only=True)
class Leanings:
    """What a task adds to the mean regret of each core configuration: (task - mean) / scale @ W.

    Attributes:
        column_J: Columns of the task features.
        weight_JK: The slopes.
    """

    column_J: Integers
    mean_J: Floats
    scale_J: Floats
    weight_JK: Floats

    def shift(self, task_T: Floats) -> Floats:
        """Return what a task adds to each core configuration's mean regret, K."""
        shift_K: Floats = (task_T[self.column_J] - self.mean_J) / self.scale_J @ self.weight_JK
        return shift_K


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What leanings said of datasets left out.

    Attributes:
        ridge: The strength with which they missed least.
        trust: The slope, by least squares, of what those datasets differ from the mean of the
            others on what was said, datasets weighing alike; in [0, 1].
        shift_TK: What was said.
    """

    ridge: float
    trust: float
    shift_TK: Floats


def fit_leanings(scenarios: Scenarios, *, ridge: float) -> Leanings:
    """Return the slopes over all pairs, datasets weighing alike."""
    weight_T, columns = balance(scenarios.group_T), _columns(scenarios.task_names)
    looked_TJ = scenarios.task_TT[:, columns]
    mean_J = weight_T @ looked_TJ
    spread_J = np.sqrt(weight_T @ (looked_TJ - mean_J) ** 2)
    scale_J = np.where(spread_J > SMALLEST_SPREAD, spread_J, np.inf)
    filled_TK = fill(scenarios.regret_TK, weight_T)
    scaled_TJ = (looked_TJ - mean_J) / scale_J
    weighed_TJ = scaled_TJ * weight_T[:, None] * len(weight_T)
    gram_JJ = weighed_TJ.T @ scaled_TJ + ridge * np.eye(len(columns))
    slope_JK = np.linalg.solve(gram_JJ, weighed_TJ.T @ (filled_TK - weight_T @ filled_TK))
    weight_JK = np.asarray(slope_JK, dtype=np.float64)
    return Leanings(column_J=columns, mean_J=mean_J, scale_J=scale_J, weight_JK=weight_JK)


def _columns(names: Sequence[str]) -> Integers:
    """Return the columns looked at; in tables of another make all of them."""
    found = [names.index(name) for name in LOOKED_AT if name in names]
    return np.array(found or range(len(names)), dtype=np.int64)


def try_ridges(scenarios: Scenarios) -> Trial:
    """Return the strength that errs least on datasets left out, and what it said of them."""
    weight_T = balance(scenarios.group_T)
    shifts = [_held_out(scenarios, ridge) for ridge in RIDGES]
    differs_TK = scenarios.regret_TK - _means_of_others(scenarios)
    missed = [weight_T @ np.nanmean((differs_TK - one) ** 2, axis=1) for one in shifts]
    best = int(np.argmin(missed))
    shift_TK = shifts[best]
    product, square = (
        float(weight_T @ np.nanmean(value_TK, axis=1))
        for value_TK in (shift_TK * differs_TK, shift_TK**2 + 0.0 * differs_TK)
    )
    trust = float(np.clip(product / max(square, SMALLEST), 0.0, 1.0))
    return Trial(ridge=RIDGES[best], trust=trust, shift_TK=shift_TK)


def _means_of_others(scenarios: Scenarios) -> Floats:
    """Return the mean regret of each core configuration on the other datasets, T x K."""
    mean_TK = np.empty_like(scenarios.regret_TK)
    for group in np.unique(scenarios.group_T):
        others = scenarios.take(scenarios.group_T != group)
        weight_T = balance(others.group_T)
        mean_TK[scenarios.group_T == group] = weight_T @ fill(others.regret_TK, weight_T)
    return mean_TK


def _held_out(scenarios: Scenarios, ridge: float) -> Floats:
    """Return what is expected to change on each pair by the other datasets, T x K."""
    shift_TK = np.empty_like(scenarios.regret_TK)
    for group in np.unique(scenarios.group_T):
        held_T = scenarios.group_T == group
        leanings = fit_leanings(scenarios.take(~held_T), ridge=ridge)
        shift_TK[held_T] = [leanings.shift(task_T) for task_T in scenarios.task_TT[held_T]]
    return shift_TK
