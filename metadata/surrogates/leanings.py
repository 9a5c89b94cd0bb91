"""How the regret of each core configuration leans with the base model and what there is to learn.

A ridge regression for each configuration, all with one strength, on how large the base model is and
which of those that were run it is; one that was not leans by its size. How many examples there are
is looked at too where first runs on datasets left out are better for it, by more than one standard
error: on the shipped table errors fall with it, and picks get worse. So they did with the length of
completions, and with boosted trees on all features.
Paper: Hoerl, Kennard (1970), Ridge Regression.

Axes: T past pairs, G datasets, K core configurations, L task features looked at, M base models
that were run, V features that tell them apart, J = L + M.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from metadata.arrays import Floats, Integers
from metadata.regret import INDIFFERENT_REGRET
from metadata.surrogates.portfolio import Scenarios
from metadata.surrogates.scenarios import balance, choose, fill, group_means, steadied

LOOKED_AT = (("log2_parameters",), ("log2_parameters", "log2_examples"))  # the simplest first
OF_BASE = (
    "log2_parameters",
    "log2_hidden_size",
    "log2_layers",
    "log2_vocabulary",
    "tied_embeddings",
)
RIDGES = (1.0, 3.0, 10.0, 30.0, 100.0)  # in datasets: so many count against what is learnt
# Slopes run on beyond what is known by so many doublings, as far as base models left out tell.
BEYOND = 2.0
SMALLEST = 1e-12
SMALLEST_SPREAD = 1e-6  # of a feature; below, it is constant but for rounding


@dataclass(frozen=True, kw_only=True)
class Leanings:
    """What a task adds to the mean regret of each core configuration: (looked - mean) / scale @ W.

    Attributes:
        column_L: Columns of the task features looked at.
        column_V: Columns that tell base models apart.
        base_MV: The base models that were run.
        low_L: What is looked at counts as no less than this,
        high_L: and as no more than this.
        weight_JK: The slopes.
    """

    column_L: Integers
    column_V: Integers
    base_MV: Floats
    low_L: Floats
    high_L: Floats
    mean_J: Floats
    scale_J: Floats
    weight_JK: Floats

    def shift(self, task_T: Floats) -> Floats:
        """Return what a task adds to each core configuration's mean regret, K."""
        is_base_M = _is_base(task_T[None], self.column_V, self.base_MV)[0]
        if not is_base_M.any():  # was not run: what it adds beyond its size is not known
            is_base_M = self.mean_J[len(self.column_L) :]
        looked_L = np.clip(task_T[self.column_L], self.low_L, self.high_L)
        looked_J = np.concatenate([looked_L, is_base_M])
        shift_K: Floats = (looked_J - self.mean_J) / self.scale_J @ self.weight_JK
        return shift_K


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What leanings said of datasets left out.

    Attributes:
        looked_at: Task features that leanings look at.
        ridge: The strength with which they missed least.
        trust: The slope, by least squares, of what those datasets differ from the mean of the
            others on what was said, datasets weighing alike; in [0, 1].
        shift_TK: What was said.
    """

    looked_at: Sequence[str]
    ridge: float
    trust: float
    shift_TK: Floats


def fit_leanings(
    scenarios: Scenarios, *, ridge: float, looked_at: Sequence[str] = LOOKED_AT[0]
) -> Leanings:
    """Return the slopes over all pairs, datasets weighing alike."""
    return _prepare(scenarios, looked_at)(ridge)


def _prepare(scenarios: Scenarios, looked_at: Sequence[str]) -> Callable[[float], Leanings]:
    """Return what fits slopes of any strength: most of the work is the same for all."""
    weight_T, task_TT = balance(scenarios.group_T), scenarios.task_TT
    column_V = _columns(scenarios.task_names, OF_BASE)
    # In tables of another make all features are looked at.
    column_L = _columns(scenarios.task_names, looked_at)
    column_L = column_L if len(column_L) else np.arange(len(scenarios.task_names))
    base_MV = np.array(sorted({tuple(base_V) for base_V in task_TT[:, column_V]}))
    looked_TJ = np.hstack([task_TT[:, column_L], _is_base(task_TT, column_V, base_MV)])
    mean_J = weight_T @ looked_TJ
    spread_J = np.sqrt(weight_T @ (looked_TJ - mean_J) ** 2)
    scale_J = np.where(spread_J > SMALLEST_SPREAD, spread_J, np.inf)
    filled_TK = fill(scenarios.regret_TK, weight_T)
    scaled_TJ = (looked_TJ - mean_J) / scale_J
    weighed_TJ = scaled_TJ * weight_T[:, None] * len(np.unique(scenarios.group_T))
    gram_JJ = weighed_TJ.T @ scaled_TJ
    product_JK = weighed_TJ.T @ (filled_TK - weight_T @ filled_TK)

    def fit(ridge: float) -> Leanings:
        slope_JK = np.linalg.solve(gram_JJ + ridge * np.eye(len(mean_J)), product_JK)
        return Leanings(
            column_L=column_L,
            column_V=column_V,
            base_MV=base_MV,
            low_L=task_TT[:, column_L].min(axis=0) - BEYOND,
            high_L=task_TT[:, column_L].max(axis=0) + BEYOND,
            mean_J=mean_J,
            scale_J=scale_J,
            weight_JK=np.asarray(slope_JK, dtype=np.float64),
        )

    return fit


def _columns(names: Sequence[str], wanted: Sequence[str]) -> Integers:
    return np.array([names.index(name) for name in wanted if name in names], dtype=np.int64)


def _is_base(task_TT: Floats, column_V: Integers, base_MV: Floats) -> Floats:
    """Return 1 where a task is on a base model and 0 elsewhere, T x M."""
    is_base_TM = np.isclose(task_TT[:, None, column_V], base_MV[None]).all(axis=2)
    return np.asarray(is_base_TM, dtype=np.float64)


def try_leanings(scenarios: Scenarios) -> Trial:
    """Return what picks best on datasets left out, the simplest where it hardly matters."""
    mean_TK = means_of_others(scenarios)
    trials = [_try_ridges(scenarios, mean_TK, looked_at) for looked_at in LOOKED_AT]
    return trials[choose(np.array([_first_regrets(scenarios, mean_TK, one) for one in trials]))]


def _try_ridges(scenarios: Scenarios, mean_TK: Floats, looked_at: Sequence[str]) -> Trial:
    """Return the strength that errs least on datasets left out, and what it said of them."""

    def fit_each(others: Scenarios) -> list[Leanings]:
        return [*map(_prepare(others, looked_at), RIDGES)]

    weight_T = balance(scenarios.group_T)
    shifts = _by_others(scenarios, fit_each)
    differs_TK = scenarios.regret_TK - mean_TK
    missed = [weight_T @ np.nanmean((differs_TK - one) ** 2, axis=1) for one in shifts]
    best = int(np.argmin(missed))
    shift_TK = shifts[best]
    product, square = (
        float(weight_T @ np.nanmean(value_TK, axis=1))
        for value_TK in (shift_TK * differs_TK, shift_TK**2 + 0.0 * differs_TK)
    )
    trust = float(np.clip(product / max(square, SMALLEST), 0.0, 1.0))
    return Trial(looked_at=looked_at, ridge=RIDGES[best], trust=trust, shift_TK=shift_TK)


def _first_regrets(scenarios: Scenarios, mean_TK: Floats, trial: Trial) -> Floats:
    """Return the regret of first runs on datasets left out, G."""
    ran_TK = np.isfinite(scenarios.regret_TK)
    firsts = []
    for mean_K, shift_K, ran_K in zip(mean_TK, trial.trust * trial.shift_TK, ran_TK, strict=True):
        first_K = steadied(mean_K + shift_K, mean_K, ran_K, by=INDIFFERENT_REGRET)
        firsts.append(int(np.argmin(np.where(ran_K, first_K, np.inf))))
    return group_means(scenarios.regret_TK[np.arange(len(firsts)), firsts], scenarios.group_T)


def change_left_out(scenarios: Scenarios) -> Floats:
    """Return what is believed to change on each pair by the other datasets alone, T x K.

    They choose what is looked at, the strength and the trust too.
    """
    (change_TK,) = _by_others(scenarios, lambda others: [_believed(others)])
    return change_TK


def _believed(scenarios: Scenarios) -> Leanings:
    trial = try_leanings(scenarios)
    leanings = fit_leanings(scenarios, ridge=trial.ridge, looked_at=trial.looked_at)
    return replace(leanings, weight_JK=trial.trust * leanings.weight_JK)


def _by_others(
    scenarios: Scenarios, learn: Callable[[Scenarios], Sequence[Leanings]]
) -> list[Floats]:
    """Return what all that is learnt from the other datasets says of each pair, each T x K."""
    said: dict[int, Floats] = defaultdict(lambda: np.empty_like(scenarios.regret_TK))
    for group in np.unique(scenarios.group_T):
        held_T = scenarios.group_T == group
        for place, leanings in enumerate(learn(scenarios.take(~held_T))):
            said[place][held_T] = [leanings.shift(task_T) for task_T in scenarios.task_TT[held_T]]
    return [*said.values()]


def errors_saved(scenarios: Scenarios, change_TK: Floats) -> Floats:
    """Return by how much a change, said of each dataset left out, lowers its mean square error, G.

    The error without it is to the mean of the other datasets, over all of the core that was run.
    """
    differs_TK = scenarios.regret_TK - means_of_others(scenarios)
    saved_TK = differs_TK**2 - (differs_TK - change_TK) ** 2
    return group_means(np.nanmean(saved_TK, axis=1), scenarios.group_T)


def means_of_others(scenarios: Scenarios) -> Floats:
    """Return the mean regret of each core configuration on the other datasets, T x K."""
    mean_TK = np.empty_like(scenarios.regret_TK)
    for group in np.unique(scenarios.group_T):
        others = scenarios.take(scenarios.group_T != group)
        weight_T = balance(others.group_T)
        mean_TK[scenarios.group_T == group] = weight_T @ fill(others.regret_TK, weight_T)
    return mean_TK
