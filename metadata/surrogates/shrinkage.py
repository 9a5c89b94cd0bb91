"""What of past regrets would come again on such tasks: a table of few patterns under noise.

Singular values are shrunk as is best for the squared error under white noise, whose size their
median tells. Papers: Gavish, Donoho, The optimal hard threshold for singular values (IEEE
Transactions on Information Theory, 2014), for the size of the noise; Optimal shrinkage of singular
values (ibid., 2017).

Axes: T past pairs, K core configurations.
"""

from functools import lru_cache
from math import sqrt

import numpy as np

from metadata.arrays import Floats

SMALLEST = 1e-9  # of the largest singular value; below, it is 0 but for rounding
GRID = 2000  # points of the noise's law: its median is exact to three digits


def without_noise(regret_TK: Floats, weight_T: Floats) -> Floats:
    """Return regrets with the noise shrunk out of what they differ from their means, T x K.

    The weighted means stay. Where half of the singular values are 0, as half of the core was not
    run, there is no telling what is noise, and nothing changes.

    Args:
        regret_TK: Regrets without gaps.
        weight_T: Weight of each pair, summing to 1; noise counts by it.
    """
    mean_K = weight_T @ regret_TK
    root_T1 = np.sqrt(weight_T * len(weight_T))[:, None]
    left, value_S, right = np.linalg.svd((regret_TK - mean_K) * root_T1, full_matrices=False)
    most, least = max(regret_TK.shape), min(regret_TK.shape)
    unit = float(np.median(value_S)) / sqrt(_median_of_noise(least / most))
    if unit <= SMALLEST * value_S[0]:
        return regret_TK
    kept_S = unit * _shrunk(value_S / unit, least / most)
    lasting_TK: Floats = mean_K + (left * kept_S) @ right / root_T1
    return lasting_TK


def _shrunk(value_S: Floats, beta: float) -> Floats:
    """Return singular values, in units of noise, as their patterns alone would have them."""
    gap_S = np.maximum((value_S**2 - beta - 1.0) ** 2 - 4.0 * beta, 0.0)
    is_more_S = value_S > 1.0 + sqrt(beta)  # than noise alone comes to
    return np.where(is_more_S, np.sqrt(gap_S) / np.maximum(value_S, 1.0), 0.0)


@lru_cache(maxsize=256)
def _median_of_noise(beta: float) -> float:
    """Return the median of the Marchenko-Pastur law: of squared singular values of noise alone."""
    low, high = (1.0 - sqrt(beta)) ** 2, (1.0 + sqrt(beta)) ** 2
    grid = np.linspace(low, high, GRID + 2)[1:-1]
    mass = np.cumsum(np.sqrt((high - grid) * (grid - low)) / grid)
    return float(grid[np.searchsorted(mass, mass[-1] / 2.0)])
