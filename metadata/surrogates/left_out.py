"""Boosted trees fitted with a part of the datasets left out in turn, and what they say of it.

Axes: N rows, F features.
"""

import numpy as np

from metadata.arrays import Floats, Integers
from metadata.surrogates.lessons import row_weights
from metadata.surrogates.trees import Trees, boost

FOLDS = 5


def fit_left_out(
    X_NF: Floats,
    target_N: Floats,
    group_N: Integers,
    *,
    names: tuple[str, ...],
    trees: int,
    seed: int,
) -> tuple[tuple[Trees, ...], Floats]:
    """Return a model for each part of the datasets, and forecasts of rows they never saw, N.

    The mean of the models is the forecast for new datasets: each saw four fifths of those known.
    """
    shuffled = np.random.default_rng(seed).permutation(np.unique(group_N))
    models, forecast_N = [], np.zeros(len(target_N))
    for number, part in enumerate(np.array_split(shuffled, min(FOLDS, len(shuffled)))):
        held_N = np.isin(group_N, part)
        model = boost(
            X_NF[~held_N],
            target_N[~held_N],
            row_weights(group_N[~held_N]),
            names=names,
            trees=trees,
            seed=seed + number,
        )
        forecast_N[held_N] = model.predict(X_NF[held_N])
        models.append(model)
    return tuple(models), forecast_N
