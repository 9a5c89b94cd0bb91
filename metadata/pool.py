"""Thousands of fresh configurations, drawn once for all questions and kept as columns.

Axes: P configurations of the pool, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from metadata.columns import Columns, make_columns
from metadata.priors import carry_over
from metadata.records import Configuration, ModelProfile
from metadata.relative import REFERENCE
from metadata.space import sample
from metadata.surrogates.spec import Described, gather

COUNT = 10_000
SEED = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """Configurations of some methods and optimizers, their rates as on the reference model.

    Attributes:
        names: The methods and the optimizers.
        texts: The configurations as JSON: as objects they would be walked by every collection of
            garbage.
        columns: To cost all of them on any task.
        described: Apart from any task: on the reference task.
    """

    names: tuple[tuple[str, ...], tuple[str, ...]]
    texts: tuple[str, ...]
    columns: Columns
    described: Described

    def take(self, rows: Sequence[int], model: ModelProfile) -> list[Configuration]:
        """Return some of them, their rates carried over to a model."""
        chosen = (Configuration.model_validate_json(self.texts[row]) for row in rows)
        return [carry_over(one, known=REFERENCE.model, new=model) for one in chosen]


@lru_cache(maxsize=8)
def draw_pool(methods: tuple[str, ...], optimizers: tuple[str, ...], *, count: int = COUNT) -> Pool:
    """Return the pool of some methods and optimizers, the same in every process.

    Drawing takes about a second, so that it is done once. There are fewer than `count` only where
    hardly any configuration can exist.
    """
    rng = np.random.default_rng(SEED)
    drawn = sample(REFERENCE.model, count=count, rng=rng, methods=methods, optimizers=optimizers)
    return Pool(
        names=(methods, optimizers),
        texts=tuple(one.model_dump_json() for one in drawn),
        columns=make_columns(drawn),
        described=replace(gather(REFERENCE, drawn), configurations=()),
    )
