"""A task and configurations on it as numbers: what the surrogates see.

`FEATURES` names the columns of `describe`: those of the task, then those of the configuration.
Axes: C configurations, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metadata.features.configuration import CONFIGURATION_FEATURES, describe_configurations
from metadata.features.task import TASK_FEATURES, describe_task
from metadata.records import Configuration, ModelProfile, Task

__all__ = ["FEATURES", "OWN_NAMES", "TASK_FEATURES", "Names", "describe", "describe_task"]

FEATURES: tuple[str, ...] = (*TASK_FEATURES, *CONFIGURATION_FEATURES)


@dataclass(frozen=True, kw_only=True)
class Names:
    """Names of all columns, and of those that describe a task alone."""

    all: tuple[str, ...]
    of_task: tuple[str, ...]


OWN_NAMES = Names(all=FEATURES, of_task=TASK_FEATURES)


def describe(
    task: Task,
    configurations: Sequence[Configuration],
    rated_on: Sequence[ModelProfile] | None = None,
) -> NDArray[np.float64]:
    """Return `FEATURES` of each configuration on a task, X_CF with all values finite.

    Where they come from other models, `rated_on` are those: a rate carried over keeps its ratio.
    """
    task_F = describe_task(task)
    own_CF = describe_configurations(task, configurations, rated_on)
    return np.hstack([np.tile(task_F, (len(own_CF), 1)), own_CF])
