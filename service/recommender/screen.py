"""Screen thousands of fresh configurations by costs and one small model.

Axes: P configurations of the pool.
"""

from collections import Counter

import numpy as np

from metadata.arrays import Integers
from metadata.columns import fastest_plans
from metadata.knowledge import Knowledge
from metadata.pool import Pool, draw_pool
from metadata.records import Configuration
from service.recommender.aim import Aim
from service.recommender.question import Question

KEPT = 80  # of the pool for each question; describing each takes the answer half a millisecond
MOST_OF_A_METHOD = 20  # where others fit too: the small model knows nothing of the task


def screen(
    question: Question,
    known: Knowledge,
    aim: Aim,
    *,
    methods: tuple[str, ...],
    optimizers: tuple[str, ...],
) -> list[Configuration]:
    """Return the most promising of fresh configurations that fit, best first."""
    if not methods:
        return []
    pool = draw_pool(methods, optimizers)
    _, plans = fastest_plans(pool.columns, question.task_in_rows, memory_bytes=aim.memory_bytes)
    fits_P = plans.fits
    if aim.train_seconds is not None:
        fits_P = fits_P & (plans.train_seconds <= aim.train_seconds)
    expected_P = known.screen(pool, question.task)
    rows = np.flatnonzero(fits_P)
    ordered = rows[np.argsort(expected_P[rows], kind="stable")]
    return pool.take(_mixed(pool, ordered), question.task.model)


def _mixed(pool: Pool, ordered: Integers) -> list[int]:
    """Return the first rows, a method's later ones only where there are not enough others."""
    seen: Counter[str] = Counter()
    first: list[int] = []
    rest: list[int] = []
    for row in ordered.tolist():
        method, *_ = pool.described.kinds[row]
        seen[method] += 1
        (first if seen[method] <= MOST_OF_A_METHOD else rest).append(row)
        if len(first) == KEPT:
            break
    return (first + rest)[:KEPT]
