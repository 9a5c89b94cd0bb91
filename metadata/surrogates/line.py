"""A forecast drawn to the mean by what held-out datasets say: mean + slope (forecast - its mean).

Axes: N rows.
"""

from dataclasses import dataclass

import numpy as np

from metadata.arrays import Floats


@dataclass(frozen=True, kw_only=True)
class Line:
    """How far a forecast is believed; a slope of 0 leaves the mean."""

    mean: float
    forecast_mean: float
    slope: float

    def shrink(self, forecast_C: Floats) -> Floats:
        """Return forecasts drawn to the mean."""
        return self.mean + self.slope * (forecast_C - self.forecast_mean)


def fit_line(true_N: Floats, forecast_N: Floats, weight_N: Floats) -> Line:
    """Return the line of least squares; weights sum to 1, and the slope lies within [0, 1]."""
    mean, forecast_mean = float(weight_N @ true_N), float(weight_N @ forecast_N)
    centred_N = forecast_N - forecast_mean
    variance = max(float(weight_N @ centred_N**2), 1e-12)
    slope = float(weight_N @ (centred_N * (true_N - mean))) / variance
    return Line(mean=mean, forecast_mean=forecast_mean, slope=float(np.clip(slope, 0.0, 1.0)))
