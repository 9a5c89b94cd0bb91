"""Screen thousands of fresh configurations by costs and one small model.

Axes: P configurations of the pool.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from metadata.arrays import Booleans, Integers
from metadata.columns import fastest_plans
from metadata.knowledge import Knowledge
from metadata.pool import Pool, draw_pool
from metadata.records import Configuration
from service.recommender.aim import Aim
from service.recommender.question import Question

MOST_OF_A_METHOD = 20  # where others fit too: the small model knows nothing of the task


def screen(
    question: Question,
    known: Knowledge,
    aim: Aim,
    *,
    methods: tuple[str, ...],
    optimizers: tuple[str, ...],
) -> Iterator[Configuration]:
    """Yield the fresh configurations that fit, the most promising first.

    They can exist on the reference model, and not all of them on every other.
    """
    if not (methods and optimizers):
        return
    pool = draw_pool(methods, optimizers)
    rows = np.flatnonzero(fitting(pool, question, aim))
    expected_P = known.screen(pool, question.task)
    ordered = rows[np.argsort(expected_P[rows], kind="stable")]
    for row in _mixed(pool, ordered):
        yield pool.take(row, question.task.model)


def fitting(pool: Pool, question: Question, aim: Aim) -> Booleans:
    """Say which of the pool are within memory and time, P, by their plans alone."""
    columns = pool.suited(question.task, question.training_objective)
    _, plans = fastest_plans(columns, question.task_in_rows, memory_bytes=aim.memory_bytes)
    if aim.train_seconds is None:
        return plans.fits
    return plans.fits & (plans.train_seconds <= aim.train_seconds)


def _mixed(pool: Pool, ordered: Integers) -> Iterator[int]:
    """Yield all rows, a method's later ones only where there are not enough others."""
    seen: Counter[str] = Counter()
    rest: list[int] = []
    for row in ordered.tolist():
        method, *_ = pool.described.kinds[row]
        seen[method] += 1
        if seen[method] <= MOST_OF_A_METHOD:
            yield row
        else:
            rest.append(row)
    yield from rest
