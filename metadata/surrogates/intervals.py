"""90 % intervals from what held-out datasets missed, apart by how good and how far a forecast is.

Errors differ with both: a configuration forecast to be near the best is missed by less than one
forecast to be bad, and near tasks by less than far ones. Each cell has its own quantiles.

Paper: Vovk, Gammerman, Shafer (2005), Mondrian conformal prediction.

Axes: N rows, L levels, D distances, C candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metadata.arrays import Floats, Integers

TAIL = 0.05
ROUNDING = 1e-9
LEVELS = 4
SMALLEST_CELL = 40  # rows: below, the 5 % quantile is a guess and the cell takes all rows


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Quantiles of (true - forecast) in each cell.

    Attributes:
        level_L: Forecasts that part the levels, L - 1 of them.
        near: Distance that parts near from far.
        low_LD: 5 % quantile of the errors.
        high_LD: 95 % quantile.
    """

    level_L: Floats
    near: float
    low_LD: Floats
    high_LD: Floats

    def around(self, forecast_C: Floats, distance: float, *, widen: float) -> tuple[Floats, Floats]:
        """Return the ends of the intervals, errors multiplied by `widen`."""
        level_C = np.searchsorted(self.level_L, forecast_C)
        far = int(distance > self.near)
        return (
            forecast_C + widen * self.low_LD[level_C, far],
            forecast_C + widen * self.high_LD[level_C, far],
        )


def fit_errors(true_N: Floats, forecast_N: Floats, distance_N: Floats) -> Errors:
    """Return the quantiles of what was missed on held-out datasets."""
    level_L = np.unique(np.quantile(forecast_N, np.arange(1, LEVELS) / LEVELS))
    near = float(np.median(distance_N))
    level_N, far_N = np.searchsorted(level_L, forecast_N), (distance_N > near).astype(np.int64)
    ends_LD2 = np.empty((len(level_L) + 1, 2, 2))
    for level in range(len(level_L) + 1):
        for far in range(2):
            rows = _cell(level_N, far_N, level, far)
            ends_LD2[level, far] = tails((true_N - forecast_N)[rows])
    return Errors(level_L=level_L, near=near, low_LD=ends_LD2[..., 0], high_LD=ends_LD2[..., 1])


def _cell(level_N: Integers, far_N: Integers, level: int, far: int) -> Integers:
    rows = np.flatnonzero((level_N == level) & (far_N == far))
    if len(rows) < SMALLEST_CELL:
        rows = np.flatnonzero(level_N == level)
    return rows if len(rows) >= SMALLEST_CELL else np.arange(len(level_N))


def tails(error_N: Floats) -> tuple[float, float]:
    """Return the ends between which a new error lies with 90 %, for any law of errors.

    Of n exchangeable errors and a new one, each rank of the new one is as likely.
    """
    ordered = np.sort(error_N)
    count = len(ordered)
    low = int(np.floor(TAIL * (count + 1))) - 1
    high = int(np.ceil((1.0 - TAIL) * (count + 1))) - 1
    return float(ordered[max(low, 0)]), float(ordered[min(high, count - 1)])


def tails_of_groups(error_N: Floats, group_N: Sequence[str]) -> tuple[float, float]:
    """Return the ends between which an error of a new group lies with 90 %, as far either way.

    Errors of one group go together, so that groups count, not errors: the new one is one of
    G + 1, each as likely to be the odd one. With nine groups or fewer the ends are the extremes.

    Paper: Dunn, Wasserman, Ramdas (2022), Distribution-free prediction sets for two-layer
    hierarchical models: pooled distribution functions.
    """
    names, member_N, count_G = np.unique(np.array(group_N), return_inverse=True, return_counts=True)
    middle = float(np.median(error_N))
    away_N = np.abs(error_N - middle)
    order = np.argsort(away_N, kind="stable")
    share_N = 1.0 / ((len(names) + 1) * count_G[member_N])
    # The shares sum to G / (G + 1): the rest is the new group's own.
    place = int(np.searchsorted(np.cumsum(share_N[order]), 1.0 - 2.0 * TAIL - ROUNDING))
    reach = float(away_N[order][min(place, len(order) - 1)])
    return middle - reach, middle + reach
