"""Rows to learn regret from, and how much each counts.

Axes: N rows, F features.
"""

from dataclasses import dataclass, replace

import numpy as np

from metadata.arrays import Booleans, Floats, Integers
from metadata.table import Table


@dataclass(frozen=True, kw_only=True)
class Lessons:
    """Rows to learn regret from; `names` are those of the columns F."""

    names: tuple[str, ...]
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


def lessons_of(table: Table) -> Lessons:
    """Return the rows of a table whose regret is defined."""
    rows = np.flatnonzero(np.isfinite(table.regret_N))
    return Lessons(
        names=table.names.all,
        reference_NF=table.reference_NF,
        regret_N=table.regret_N,
        group_N=table.row_groups,
        pair_N=table.pair_N,
        key_N=table.key_N,
        core_N=np.isin(table.key_N, table.core_keys),
    ).take(rows)


def row_weights(group_N: Integers) -> Floats:
    """Weigh rows so that a dataset with more of them than usual counts no more than usual."""
    _, member_N, count_G = np.unique(group_N, return_inverse=True, return_counts=True)
    weight_G = np.minimum(1.0, np.median(count_G) / count_G)
    weight_N: Floats = weight_G[member_N]
    return weight_N
