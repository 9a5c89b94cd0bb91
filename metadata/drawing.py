"""Draw from a space of configurations.  Axes: C configurations, P parameters of the space."""

from collections.abc import Mapping
from threading import Lock
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace
from numpy.typing import NDArray

_SAMPLING = Lock()  # a space holds its random state, and one space serves all threads


def draw(
    space: ConfigurationSpace, count: int, rng: np.random.Generator
) -> list[Mapping[str, Any]]:
    """Return what is active of `count` configurations drawn uniformly, by name."""
    with _SAMPLING:
        space.seed(int(rng.integers(2**31)))
        drawn = space.sample_configuration(count) if count > 1 else [space.sample_configuration()]
    return _read(np.array([one.get_array() for one in drawn]), space)


def _read(vectors_CP: NDArray[np.float64], space: ConfigurationSpace) -> list[Mapping[str, Any]]:
    """Return the values of vectors, read a parameter at a time.

    Asking each configuration for each of its values takes four times as long.
    """
    read: list[dict[str, Any]] = [{} for _ in vectors_CP]
    for name, hyperparameter in space.items():
        column_C = vectors_CP[:, space.index_of[name]]
        rows = np.flatnonzero(~np.isnan(column_C))
        if len(rows):
            for row, value in zip(rows, hyperparameter.to_value(column_C[rows]), strict=True):
                read[row][name] = value
    return list(read)
