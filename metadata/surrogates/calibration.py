"""What forecasts of quality missed where they could not know: intervals, shrinkage, comparisons.

Axes: N rows, K core configurations, T past pairs, Q quantiles.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from metadata.arrays import Floats, Integers
from metadata.surrogates.bags import (
    AVERAGE_TREES,
    Lessons,
    row_weights,
)
from metadata.surrogates.choice import Rehearsal
from metadata.surrogates.intervals import Errors, fit_errors
from metadata.surrogates.line import Line, fit_line
from metadata.surrogates.scenarios import Setting, balance, fill, weigh
from metadata.surrogates.trees import boost

FOLDS = 5
QUANTILES = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True, kw_only=True)
class Outside(Line):
    """How far to believe what is forecast of a configuration that is not in the core.

    Attributes:
        error: Standard deviation of what it then misses of a configuration's mean regret.
    """

    error: float


def fit_outside(lessons: Lessons, *, seed: int) -> Outside:
    """Forecast configurations that were left out, and see what is true of it."""
    forecast_N = np.empty(len(lessons.regret_N))
    for number, held in enumerate(_folds(np.unique(lessons.key_N), seed=seed)):
        rows_N = np.isin(lessons.key_N, held)
        seen = lessons.take(~rows_N)
        model = boost(
            seen.reference_NF,
            seen.regret_N,
            row_weights(seen.group_N),
            names=seen.names,
            trees=AVERAGE_TREES,
            seed=seed + number,
        )
        forecast_N[rows_N] = model.predict(lessons.reference_NF[rows_N])
    line = fit_line(lessons.regret_N, forecast_N, balance(lessons.group_N))
    missed = _mean_errors(lessons, lessons.regret_N - line.shrink(forecast_N))
    return Outside(**vars(line), error=missed)


def _folds(keys: Integers, *, seed: int) -> Iterator[Integers]:
    shuffled = np.random.default_rng(seed).permutation(keys)
    yield from (part for part in np.array_split(shuffled, FOLDS) if len(part))


def _mean_errors(lessons: Lessons, error_N: Floats) -> float:
    """Return the root mean square, over core configurations, of their mean error over pairs."""
    core = lessons.key_N[lessons.core_N]
    sums_K, counts_K = np.bincount(core, error_N[lessons.core_N]), np.bincount(core)
    means = sums_K[counts_K > 0] / counts_K[counts_K > 0]
    return float(np.sqrt((means**2).mean()))


def held_out_forecast(
    lessons: Lessons,
    rehearsal: Rehearsal,
    unseen_2N: tuple[Floats, Floats],
    setting: Setting,
    outside: Outside,
    place_N: tuple[Integers, Integers],
) -> Floats:
    """Return the regret forecast of each row by what other datasets say.

    Args:
        lessons: The rows.
        rehearsal: The pairs.
        unseen_2N: Average and shift by the bags that never saw the row's dataset.
        setting: How far the shift is believed.
        outside: How far forecasts of other configurations than the core are.
        place_N: Row of `rehearsal.scenarios` and column of its core of each row; column -1 for
            configurations outside the core.
    """
    average_N, shift_N = unseen_2N
    pair_N, column_N = place_N
    mean_TK = np.array(
        [_mean_of_others(rehearsal, pair, setting) for pair in range(len(rehearsal.shift_TK))]
    )
    known_N = np.where(column_N >= 0, mean_TK[pair_N, column_N], outside.shrink(average_N))
    forecast_N: Floats = known_N + setting.trust * shift_N
    return forecast_N


def _mean_of_others(rehearsal: Rehearsal, pair: int, setting: Setting) -> Floats:
    scenarios = rehearsal.scenarios
    others_T = scenarios.group_T != scenarios.group_T[pair]
    distance_T = rehearsal.distances.to_known(scenarios.task_TT[pair])[others_T]
    weight_T = weigh(scenarios.group_T[others_T], distance_T, locality=setting.locality)
    mean_K: Floats = weight_T @ fill(scenarios.regret_TK[others_T], weight_T)
    return mean_K


def fit_intervals(
    lessons: Lessons, forecast_N: Floats, pair_N: Integers, rehearsal: Rehearsal
) -> Errors:
    """Return the errors of the forecasts, by forecast and by the distance of the task."""
    return fit_errors(lessons.regret_N, forecast_N, rehearsal.distances.usual[pair_N])


def fit_differences(lessons: Lessons, forecast_N: Floats) -> Floats:
    """Return quantiles of (error of one - error of another) core configuration of a pair, Q."""
    error_N = lessons.regret_N - forecast_N
    differences = []
    for pair in np.unique(lessons.pair_N):
        errors = error_N[(lessons.pair_N == pair) & lessons.core_N]
        between = errors[:, None] - errors[None, :]
        differences.append(between[~np.eye(len(errors), dtype=bool)])
    difference_Q: Floats = np.quantile(np.concatenate(differences), QUANTILES)
    return difference_Q
