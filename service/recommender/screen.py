"""Screen thousands of fresh configurations by costs and one small model.

Axes: P configurations of the pool.
"""

from collections import Counter
from collections.abc import Iterator
from math import log

import numpy as np

from metadata.arrays import Booleans, Integers
from metadata.columns import Plans, fastest_plans
from metadata.knowledge import Knowledge
from metadata.pool import COUNT, Pool, draw_pool
from metadata.records import Configuration
from service.recommender.aim import Aim
from service.recommender.question import Question

OF_A_METHOD = 2000  # drawn where methods are asked for that no past run tried
LEAST_SECONDS = 1e-300  # logarithms need something
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
    pool = find_pool(known, methods)
    rows = np.flatnonzero(fitting(pool, question, aim) & pool.are_of(methods, optimizers))
    expected_P = known.screen(pool, question.task)
    ordered = rows[np.argsort(expected_P[rows], kind="stable")]
    for row in _mixed(pool, ordered):
        yield pool.take(row, question.task.model)


def nearest_to_fitting(
    question: Question,
    known: Knowledge,
    aim: Aim,
    *,
    methods: tuple[str, ...],
    optimizers: tuple[str, ...],
) -> Iterator[Configuration]:
    """Yield all fresh configurations, those first whose plans are over memory and time the least.

    Which of memory and time is over by the larger factor counts. As with `screen`, not all of them
    can exist on every model.
    """
    if not (methods and optimizers):
        return
    pool = find_pool(known, methods)
    plans = _plans(pool, question, aim)
    over_P = np.log(plans.peak_bytes / aim.memory_bytes)
    if aim.train_seconds is not None:
        least = log(max(aim.train_seconds, LEAST_SECONDS))
        over_P = np.maximum(over_P, np.log(plans.train_seconds) - least)
    rows = np.flatnonzero(pool.are_of(methods, optimizers))
    for row in rows[np.argsort(over_P[rows], kind="stable")].tolist():
        yield pool.take(row, question.task.model)


def find_pool(known: Knowledge, methods: tuple[str, ...]) -> Pool:
    """Return the one pool of all that past runs tried, where that has all methods.

    Else a pool of the methods alone: drawing it takes the first such question up to seconds.
    """
    if set(methods) <= set(known.methods):
        return draw_pool(known.methods, known.optimizers)
    count = min(COUNT, OF_A_METHOD * len(methods))
    return draw_pool(methods, known.optimizers, count=count)


def fitting(pool: Pool, question: Question, aim: Aim) -> Booleans:
    """Say which of the pool are within memory and time, P, by their plans alone."""
    plans = _plans(pool, question, aim)
    if aim.train_seconds is None:
        return plans.fits
    return plans.fits & (plans.train_seconds <= aim.train_seconds)


def _plans(pool: Pool, question: Question, aim: Aim) -> Plans:
    _, plans = fastest_plans(
        pool.suited(question.task, question.training_objective),
        question.task_in_rows,
        memory_bytes=aim.memory_bytes,
        counts=pool.counts(question.task.model),
    )
    return plans


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
