"""The probability that training fails by itself: diverges, whatever time and memory it is given.

Runs out of time or memory are no such failures: their costs are forecast apart. A failure counts as
the worst regret, so that no configuration is expected to do better than its probability allows.

Axes: N rows, C candidates, F features.
"""

from dataclasses import dataclass

import numpy as np

from metadata.arrays import Floats
from metadata.surrogates.left_out import fit_left_out
from metadata.surrogates.line import Line, fit_line
from metadata.surrogates.scenarios import balance
from metadata.surrogates.trees import Trees, mean_of
from metadata.table import Table

TREES = 60


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Forecasts the probability; without models it is that of all known runs."""

    models: tuple[Trees, ...]
    line: Line

    def probability(self, X_CF: Floats) -> Floats:
        """Return the probability of each candidate, C."""
        if not self.models:
            return np.full(len(X_CF), self.line.mean)
        return np.clip(self.line.shrink(mean_of(self.models, X_CF)), 0.0, 1.0)


def fit_failure(table: Table, seed: int) -> Failure:
    """Learn from all rows that tell; drawn to the mean by what held-out datasets say."""
    rows = np.flatnonzero(np.isfinite(table.failed_N))
    failed_N, group_N = table.failed_N[rows], table.row_groups[rows]
    if not failed_N.any():
        return Failure(models=(), line=Line(mean=0.0, forecast_mean=0.0, slope=0.0))
    models, forecast_N = fit_left_out(
        table.X_NF[rows], failed_N, group_N, names=table.names.all, trees=TREES, seed=seed
    )
    return Failure(models=models, line=fit_line(failed_N, forecast_N, balance(group_N)))
