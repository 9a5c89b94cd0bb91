"""What an entry of the surrogate table says, and what passes in and out of a surrogate.

Axes: C candidates, F features, T task features.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from metadata.arrays import Floats, Integers
from metadata.features import describe, describe_task
from metadata.footprint import Plan
from metadata.records import Configuration, Task
from metadata.relative import describe_alone, relative_key
from metadata.table import Table, kinds_of

Target = Literal["regret", "seconds", "bytes", "nats"]


@dataclass(frozen=True, kw_only=True)
class Described:
    """Configurations of one task as numbers: all that quality is forecast from.

    Attributes:
        kinds: Of each, the names without which evidence says nothing: its method and optimizer.
        keys: What carries over to other tasks, as a name.
        X_CF: Features of each on the task.
        reference_CF: Features of each apart from any task.
        task_T: Features of the task.
    """

    kinds: tuple[tuple[str, ...], ...]
    keys: tuple[str, ...]
    X_CF: Floats
    reference_CF: Floats
    task_T: Floats

    def take(self, rows: Integers) -> Self:
        """Return some of the configurations."""
        taken: dict[str, Any] = {
            name: tuple(value[row] for row in rows if value)
            if isinstance(value, tuple)
            else value[rows]
            for name, value in vars(self).items()
            if name not in _OF_TASK
        }
        return replace(self, **taken)


@dataclass(frozen=True, kw_only=True)
class Candidates(Described):
    """Configurations of one task, described once for all surrogates.

    Plans are needed for forecasts of costs only.
    """

    task: Task
    configurations: tuple[Configuration, ...]
    plans: tuple[Plan, ...] = ()


_OF_TASK = ("task", "task_T")


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a surrogate says of each candidate, with its 90 % interval."""

    expected_C: Floats
    low_C: Floats
    high_C: Floats


@dataclass(frozen=True, kw_only=True)
class State:
    """A fitted surrogate as data: JSON, arrays and LightGBM's own text."""

    values: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    texts: tuple[str, ...] = ()


class Surrogate(Protocol):
    """Forecasts runs without running them."""

    def forecast(self, candidates: Candidates) -> Prediction:
        """Forecast each candidate."""
        ...

    def state(self) -> State:
        """Return all that `SurrogateSpec.restore` needs."""
        ...


@dataclass(frozen=True, kw_only=True)
class SurrogateSpec:
    """One surrogate as data.

    Attributes:
        predicts: What the numbers are: regret in [0, 2], seconds of training, bytes at the peak,
            nats per token forgotten.
        fit: (table, seed) -> surrogate; raises TooFewRuns.
        restore: The surrogate that a state was taken from, equal in every forecast.
    """

    name: str
    title: str
    predicts: Target
    fit: Callable[[Table, int], Surrogate]
    restore: Callable[[State], Surrogate]
    paper: str = ""


def gather(
    task: Task, configurations: Sequence[Configuration], plans: Sequence[Plan] = ()
) -> Candidates:
    """Return configurations with the features that surrogates ask for.

    Plans are needed for forecasts of costs only.
    """
    models = [task.model] * len(configurations)
    return Candidates(
        task=task,
        configurations=tuple(configurations),
        kinds=tuple(kinds_of(one) for one in configurations),
        plans=tuple(plans),
        keys=tuple(relative_key(one, task.model) for one in configurations),
        X_CF=describe(task, configurations),
        reference_CF=describe_alone(configurations, models),
        task_T=np.asarray(describe_task(task), dtype=np.float64),
    )
