"""How far a task is from those known, in units of what is usual between known tasks.

Axes: T known pairs, P other pairs, F features, B features compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from metadata.arrays import Floats, Integers
from metadata.surrogates.scenarios import balance

# A feature that is all but constant over the known tasks gets this scale, or a model of another
# size would be infinitely far from tasks of a single one: a size of 1.4 times (half a doubling)
# or a share of a tenth is a usual step.
SMALLEST_LOG_SCALE = 0.5
SMALLEST_SHARE_SCALE = 0.1
ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Distances:
    """Scaled Euclidean distances to known pairs, datasets weighing alike in what is usual.

    Attributes:
        known_TF: Features of the known pairs.
        group_T: Their datasets: pairs of one dataset are no neighbours of each other.
        compared_B: Columns that are compared.
        smallest_B: The least scale of each.
    """

    known_TF: Floats
    group_T: Integers
    compared_B: Integers
    smallest_B: Floats

    @cached_property
    def scale(self) -> Floats:
        """Return the spread of each compared feature over the known pairs, B."""
        known_TB, weight_T = self.known_TF[:, self.compared_B], balance(self.group_T)
        spread_B = np.sqrt(weight_T @ (known_TB - weight_T @ known_TB) ** 2)
        scale_B: Floats = np.maximum(spread_B, self.smallest_B)
        return scale_B

    @cached_property
    def _nearest(self) -> Floats:
        """Return the distance of each known pair to the nearest of another dataset."""
        return np.array(
            [
                self._raw(known_F, self.known_TF)[self.group_T != group].min()
                for known_F, group in zip(self.known_TF, self.group_T, strict=True)
            ]
        )

    @cached_property
    def unit(self) -> float:
        """Return the usual distance of a known pair to the nearest of another dataset."""
        order_T = np.argsort(self._nearest)
        below_T = np.cumsum(balance(self.group_T)[order_T])
        median = order_T[np.searchsorted(below_T, 0.5 - ROUNDING)]
        return max(float(self._nearest[median]), 1e-6)

    @cached_property
    def usual(self) -> Floats:
        """Return the distance of each known pair to the nearest of another dataset, in units, T."""
        return self._nearest / self.unit

    @property
    def limit(self) -> float:
        """Return the largest distance at which a known task lies from the others."""
        return max(float(self.usual.max()), 1e-6)

    def to_known(self, task_F: Floats) -> Floats:
        """Return the distance of a task to each known pair, in units, T."""
        return self.between(task_F, self.known_TF)

    def between(self, task_F: Floats, other_PF: Floats) -> Floats:
        """Return the distance of a task to each of other tasks, in the same units, P."""
        return self._raw(task_F, other_PF) / self.unit

    def trust(self, distance: float) -> float:
        """Return 1 as far as known tasks lie from each other, falling to 0 at twice that."""
        return float(np.clip(2.0 - distance / self.limit, 0.0, 1.0))

    def excess(self, task_F: Floats) -> Floats:
        """Return how far each compared feature is above the known range, or (< 0) below it."""
        known_TB, task_B = self.known_TF[:, self.compared_B], task_F[self.compared_B]
        above_B = np.maximum(task_B - known_TB.max(axis=0), 0.0)
        below_B = np.minimum(task_B - known_TB.min(axis=0), 0.0)
        beyond_B: Floats = above_B + below_B
        return beyond_B

    def _raw(self, task_F: Floats, other_PF: Floats) -> Floats:
        difference_PB = (other_PF - task_F)[:, self.compared_B] / self.scale
        raw_P: Floats = np.sqrt((difference_PB**2).mean(axis=1))
        return raw_P


def distances_by(names: Sequence[str], known_TF: Floats, group_T: Integers) -> Distances:
    """Return distances by features of these names, one a column, probe values left out.

    Probes are known of some tasks only, so that they would tell who asks rather than what.
    """
    compared = [index for index, name in enumerate(names) if "probe" not in name]
    scales = [
        SMALLEST_LOG_SCALE
        if names[index].startswith("log2_") or names[index].endswith("_bits")
        else SMALLEST_SHARE_SCALE
        for index in compared
    ]
    return Distances(
        known_TF=known_TF,
        group_T=group_T,
        compared_B=np.array(compared, dtype=np.int64),
        smallest_B=np.array(scales),
    )
