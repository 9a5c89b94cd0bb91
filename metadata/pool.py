"""Thousands of fresh configurations, drawn once for all questions and kept as columns.

Axes: P configurations of the pool, F features, K kinds.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from itertools import product
from typing import Any

import numpy as np

from metadata.arrays import Booleans, Integers
from metadata.columns import Columns, count, make_columns
from metadata.counts import Counts
from metadata.features import describe, describe_task
from metadata.objectives import ROWS
from metadata.priors import carry_over
from metadata.records import Configuration, ModelProfile, Task, TrainingObjective
from metadata.relative import DIGITS, REFERENCE
from metadata.space import default_configuration, sample
from metadata.surrogates.spec import Described
from metadata.table import kinds_of
from metadata.terms import read

COUNT = 10_000
SEED = 0
OF_TASK = ("max_length_tokens", "is_fp32", "width_bytes", "linear_bytes")  # what suits any task


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """Configurations of some methods and optimizers, their rates as on the reference model.

    Attributes:
        texts: The configurations as JSON: as objects they would be walked by every collection of
            garbage.
        columns: To cost all of them, once they suit a task.
        described: Apart from any task: on the reference task, and without keys.
    """

    texts: tuple[str, ...]
    columns: Columns
    described: Described

    def suited(self, task: Task, objective: TrainingObjective = "supervised") -> Columns:
        """Return the columns as a task needs them: its length and precision, batches in rows."""
        usual, terms = read(default_configuration(task)), self.columns.terms
        of_task: dict[str, Any] = {
            name: np.full_like(getattr(terms, name), getattr(usual, name)) for name in OF_TASK
        }
        batch_size = ROWS[objective] * terms.batch_size
        return replace(self.columns, terms=replace(terms, **of_task, batch_size=batch_size))

    @cached_property
    def counts(self) -> Callable[[ModelProfile], Counts]:
        """Return what tells what the methods add to a model; it is kept for those asked of late."""
        return lru_cache(maxsize=32)(partial(count, self.columns))

    def are_of(self, methods: Collection[str], optimizers: Collection[str]) -> Booleans:
        """Say which are of some methods and of some optimizers, P."""
        kinds_K, kinds_P = self._kinds
        wanted = set(product(methods, optimizers))
        return np.array([kind in wanted for kind in kinds_K], dtype=bool)[kinds_P]

    @cached_property
    def _kinds(self) -> tuple[list[tuple[str, ...]], Integers]:
        """Return the different kinds and which of them each is, P."""
        places = {kind: place for place, kind in enumerate(dict.fromkeys(self.described.kinds))}
        return list(places), np.array([places[kind] for kind in self.described.kinds], dtype=int)

    def take(self, row: int, model: ModelProfile) -> Configuration:
        """Return one of them, its rate carried over to a model."""
        chosen = Configuration.model_validate_json(self.texts[row])
        return carry_over(chosen, known=REFERENCE.model, new=model)


@lru_cache(maxsize=8)
def draw_pool(methods: tuple[str, ...], optimizers: tuple[str, ...], *, count: int = COUNT) -> Pool:
    """Return the pool of some methods and optimizers, the same in every process.

    Drawing takes a second or two, so that it is done once. There are fewer than `count` only where
    hardly any configuration can exist.
    """
    rng = np.random.default_rng(SEED)
    drawn = sample(
        REFERENCE.model,
        count=count,
        rng=rng,
        methods=methods,
        optimizers=optimizers,
        usual_counts=True,
    )
    return Pool(
        texts=tuple(one.model_dump_json() for one in drawn),
        columns=make_columns(drawn),
        described=_describe(drawn),
    )


def _describe(drawn: Sequence[Configuration]) -> Described:
    """Return what `gather` and `describe_alone` say of them on the reference task."""
    X_PF = describe(REFERENCE, drawn)
    return Described(
        kinds=tuple(kinds_of(one) for one in drawn),
        keys=(),
        X_CF=X_PF,
        reference_CF=np.round(X_PF, DIGITS),
        task_T=np.asarray(describe_task(REFERENCE), dtype=np.float64),
    )
