"""What forecasts of quality missed where they could not know: intervals, shrinkage, comparisons.

Axes: N rows, K core configurations, T past pairs, Q quantiles.
"""

from collections.abc import Iterator

import numpy as np

from metadata.arrays import Floats, Integers
from metadata.surrogates.grounds import Ground
from metadata.surrogates.intervals import fit_errors
from metadata.surrogates.leanings import fit_leanings, means_of_others
from metadata.surrogates.lessons import Lessons, row_weights
from metadata.surrogates.line import fit_line
from metadata.surrogates.scenarios import balance
from metadata.surrogates.transfer import bounded
from metadata.surrogates.trees import boost
from metadata.surrogates.view import QUANTILES, Outside, View

FOLDS = 5
AVERAGE_TREES = 40


def fit_view(ground: Ground, trust: float) -> View:
    """Return what is believed of a kind of question with a share of what tasks change."""
    outside = _fit_outside(ground)
    known_N = _of_others(ground, outside.shrink(ground.average_N))
    forecast_N = bounded(known_N + trust * ground.shift_N)
    lessons, scenarios = ground.lessons, ground.scenarios
    usual_N = scenarios.distances.usual[ground.pair_N]
    return View(
        scenarios=scenarios,
        scale=ground.scale,
        trust=trust,
        leanings=fit_leanings(
            scenarios, ridge=ground.trial.ridge, looked_at=ground.trial.looked_at
        ),
        outside=outside,
        errors=fit_errors(lessons.regret_N, forecast_N, usual_N),
        difference_Q=_differences(lessons, forecast_N),
    )


def forecast_left_out(lessons: Lessons, *, seed: int) -> Floats:
    """Return the regret forecast of each row by models that never saw its configuration, N."""
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
    return forecast_N


def _folds(keys: Integers, *, seed: int) -> Iterator[Integers]:
    shuffled = np.random.default_rng(seed).permutation(keys)
    yield from (part for part in np.array_split(shuffled, FOLDS) if len(part))


def _fit_outside(ground: Ground) -> Outside:
    """See what is true of forecasts of configurations that were left out."""
    lessons, forecast_N = ground.lessons, ground.strange_N
    line = fit_line(lessons.regret_N, forecast_N, balance(lessons.group_N))
    missed = _mean_errors(lessons, lessons.regret_N - line.shrink(forecast_N))
    return Outside(**vars(line), error=missed)


def _mean_errors(lessons: Lessons, error_N: Floats) -> float:
    """Return the root mean square, over core configurations, of their mean error over pairs."""
    core = lessons.key_N[lessons.core_N]
    sums_K, counts_K = np.bincount(core, error_N[lessons.core_N]), np.bincount(core)
    means = sums_K[counts_K > 0] / counts_K[counts_K > 0]
    return float(np.sqrt((means**2).mean()))


def _of_others(ground: Ground, strange_N: Floats) -> Floats:
    """Return each row's mean regret on other datasets, `strange_N` outside the core."""
    mean_TK = means_of_others(ground.scenarios)
    return np.where(ground.column_N >= 0, mean_TK[ground.pair_N, ground.column_N], strange_N)


def _differences(lessons: Lessons, forecast_N: Floats) -> Floats:
    """Return quantiles of (error of one - error of another) core configuration of a pair, Q."""
    error_N = lessons.regret_N - forecast_N
    differences = []
    for pair in np.unique(lessons.pair_N):
        errors = error_N[(lessons.pair_N == pair) & lessons.core_N]
        between = errors[:, None] - errors[None, :]
        differences.append(between[~np.eye(len(errors), dtype=bool)])
    difference_Q: Floats = np.quantile(np.concatenate(differences), QUANTILES)
    return difference_Q
