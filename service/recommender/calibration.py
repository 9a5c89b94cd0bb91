"""What a version would have forecast of each dataset without it, held against what was true.

Each core configuration of a dataset is forecast by its mean over the other datasets, and each
interval comes from what such forecasts missed there. The portfolio answers like that; where a
version has also learnt what the task changes, that part is left out here.

Axes: T pairs, K core configurations, N forecasts that can be checked, B bins, L levels.
"""

from typing import Literal, cast

import numpy as np
from pydantic import Field

from metadata.arrays import Booleans, Floats, Integers
from metadata.knowledge import Knowledge
from metadata.records import Record
from metadata.surrogates.portfolio import Portfolio
from metadata.surrogates.scenarios import balance, fill

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
BINS = 8


class Bin(Record):
    """Forecasts of about the same regret: their mean, and what was true of them."""

    count: int
    forecast: float
    observed: float
    low: float = Field(description="10 % of what was observed lie below")
    high: float = Field(description="10 % lie above")


class Coverage(Record):
    """How much lay within intervals that were to hold a share of what comes."""

    level: float
    observed: float


class Calibration(Record):
    """How far the forecasts of a version are to be believed; bins from the best to the worst."""

    object: Literal["calibration"] = "calibration"
    version: str
    datasets: int = Field(description="left out in turn")
    count: int = Field(description="forecasts checked")
    mean_miss: float = Field(description="of the forecasts, in regret, datasets weighing alike")
    bins: list[Bin]
    coverage: list[Coverage]


def calibrate(known: Knowledge) -> Calibration:
    """Return how the forecasts of a version hold on datasets left out."""
    scenarios = cast(Portfolio, known.surrogates["portfolio"]).scenarios
    forecast_TK = _forecasts(scenarios.regret_TK, scenarios.group_T)
    is_run_TK = np.isfinite(scenarios.regret_TK)
    group_N = np.broadcast_to(scenarios.group_T[:, None], is_run_TK.shape)[is_run_TK]
    forecast_N, true_N = forecast_TK[is_run_TK], scenarios.regret_TK[is_run_TK]
    weight_N = balance(group_N)
    return Calibration(
        version=known.version,
        datasets=len(np.unique(group_N)),
        count=len(true_N),
        mean_miss=float(weight_N @ np.abs(true_N - forecast_N)),
        bins=_bins(forecast_N, true_N),
        coverage=_coverage(true_N - forecast_N, group_N),
    )


def _forecasts(regret_TK: Floats, group_T: Integers) -> Floats:
    """Return the mean regret of each configuration over the datasets that a pair is not of."""
    forecast_TK = np.empty_like(regret_TK)
    for group in np.unique(group_T):
        others_T: Booleans = group_T != group
        weight_T = balance(group_T[others_T])
        forecast_TK[~others_T] = weight_T @ fill(regret_TK[others_T], weight_T)
    return forecast_TK


def _bins(forecast_N: Floats, true_N: Floats) -> list[Bin]:
    """Part the forecasts into bins of about as many each; equal forecasts stay together."""
    ends = np.unique(np.quantile(forecast_N, np.linspace(0.0, 1.0, BINS + 1)[1:-1]))
    bin_N = np.searchsorted(ends, forecast_N, side="right")
    found = []
    for number in np.unique(bin_N):
        rows_N = bin_N == number
        low, high = np.quantile(true_N[rows_N], (0.1, 0.9))
        found.append(
            Bin(
                count=int(rows_N.sum()),
                forecast=float(forecast_N[rows_N].mean()),
                observed=float(true_N[rows_N].mean()),
                low=float(low),
                high=float(high),
            )
        )
    return found


def _coverage(error_N: Floats, group_N: Integers) -> list[Coverage]:
    """Return how many errors lie between the quantiles of those of the other datasets."""
    weight_N = balance(group_N)
    within_L = np.zeros(len(LEVELS))
    for group in np.unique(group_N):
        mine_N: Booleans = group_N == group
        for place, level in enumerate(LEVELS):
            tail = (1.0 - level) / 2.0
            low, high = np.quantile(error_N[~mine_N], (tail, 1.0 - tail))
            is_within = (error_N[mine_N] >= low) & (error_N[mine_N] <= high)
            within_L[place] += weight_N[mine_N] @ is_within
    return [
        Coverage(level=level, observed=float(share))
        for level, share in zip(LEVELS, within_L, strict=True)
    ]
