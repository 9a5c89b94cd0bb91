"""Bags of boosted trees over datasets: how good a configuration is, and what a task changes.

Each bag leaves a fifth of the datasets out; every dataset is left out of `REPEATS` bags, so that
forecasts of data not seen come without another fit. A bag holds two models: `average` knows the
configuration alone, `shift` knows the task too and learns what the average does not explain.

Axes: N rows, F features, B bags, K core configurations.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from metadata.arrays import Booleans, Floats, Integers
from metadata.surrogates.scenarios import balance
from metadata.surrogates.trees import Trees, boost
from metadata.table import Table

REPEATS = 3
FOLDS = 5
AVERAGE_TREES = 40
SHIFT_TREES = 60


@dataclass(frozen=True, kw_only=True)
class Lessons:
    """Rows to learn regret from; `names` are those of the columns F."""

    names: tuple[str, ...]
    X_NF: Floats
    reference_NF: Floats
    regret_N: Floats
    group_N: Integers
    pair_N: Integers
    key_N: Integers
    core_N: Booleans

    def take(self, rows: Booleans | Integers) -> "Lessons":
        """Return some of the rows."""
        arrays = {name: value[rows] for name, value in vars(self).items() if name != "names"}
        return Lessons(names=self.names, **arrays)

    def with_regret(self, regret_N: Floats) -> "Lessons":
        """Return the same rows with another regret."""
        return replace(self, regret_N=regret_N)


@dataclass(frozen=True, kw_only=True)
class Bag:
    """Two models, and the datasets they never saw."""

    average: Trees
    shift: Trees
    left_out: tuple[int, ...]


def lessons_of(table: Table) -> Lessons:
    """Return the rows of a table whose regret is defined."""
    rows = np.flatnonzero(np.isfinite(table.regret_N))
    return Lessons(
        names=table.names.all,
        X_NF=table.X_NF,
        reference_NF=table.reference_NF,
        regret_N=table.regret_N,
        group_N=table.row_groups,
        pair_N=table.pair_N,
        key_N=table.key_N,
        core_N=np.isin(table.key_N, table.core_keys),
    ).take(rows)


def fit_bags(lessons: Lessons, *, seed: int) -> tuple[Bag, ...]:
    """Fit all bags; the same lessons and seed give the same bags, bit for bit."""
    return tuple(
        _fit_bag(lessons, left_out, seed=seed * 1000 + number)
        for number, left_out in enumerate(_left_out(np.unique(lessons.group_N), seed=seed))
    )


def _left_out(groups: Integers, *, seed: int) -> Iterator[Integers]:
    rng = np.random.default_rng(seed)
    for _ in range(REPEATS):
        shuffled = rng.permutation(groups)
        yield from (part for part in np.array_split(shuffled, FOLDS) if len(part))


def _fit_bag(lessons: Lessons, left_out: Integers, *, seed: int) -> Bag:
    seen = lessons.take(~np.isin(lessons.group_N, left_out))
    weight_N = row_weights(seen.group_N)
    names = seen.names
    average = boost(
        seen.reference_NF, seen.regret_N, weight_N, names=names, trees=AVERAGE_TREES, seed=seed
    )
    known_N = np.where(seen.core_N, _core_means(seen), average.predict(seen.reference_NF))
    missed_N = seen.regret_N - known_N
    shift = boost(seen.X_NF, missed_N, weight_N, names=names, trees=SHIFT_TREES, seed=seed)
    return Bag(average=average, shift=shift, left_out=tuple(int(one) for one in left_out))


def row_weights(group_N: Integers) -> Floats:
    """Weigh rows so that a dataset with more of them than usual counts no more than usual."""
    _, member_N, count_G = np.unique(group_N, return_inverse=True, return_counts=True)
    weight_G = np.minimum(1.0, np.median(count_G) / count_G)
    weight_N: Floats = weight_G[member_N]
    return weight_N


def _core_means(lessons: Lessons) -> Floats:
    """Return the mean regret of each row's configuration, datasets weighing alike."""
    weight_N = balance(lessons.group_N)
    sums_K = np.bincount(lessons.key_N, weights=weight_N * lessons.regret_N)
    weights_K = np.bincount(lessons.key_N, weights=weight_N)
    means: Floats = sums_K[lessons.key_N] / weights_K[lessons.key_N]
    return means


def first_repeat(bags: Sequence[Bag]) -> Sequence[Bag]:
    """Return bags that leave each dataset out once: enough for the average, which varies less."""
    return bags[: len(bags) // REPEATS]


def unseen(bags: Sequence[Bag], lessons: Lessons) -> tuple[Floats, Floats]:
    """Return (average_N, shift_N) by the bags that never saw the row's dataset."""
    averages = [(bag.average, bag.left_out) for bag in first_repeat(bags)]
    shifts = [(bag.shift, bag.left_out) for bag in bags]
    return (
        _left_out_mean(averages, lessons.reference_NF, lessons.group_N),
        _left_out_mean(shifts, lessons.X_NF, lessons.group_N),
    )


def _left_out_mean(
    models: Sequence[tuple[Trees, tuple[int, ...]]], X_NF: Floats, group_N: Integers
) -> Floats:
    sums_N, counts_N = np.zeros(len(X_NF)), np.zeros(len(X_NF))
    for model, left_out in models:
        rows = np.flatnonzero(np.isin(group_N, left_out))
        sums_N[rows] += model.predict(X_NF[rows])
        counts_N[rows] += 1
    mean_N: Floats = sums_N / counts_N
    return mean_N
