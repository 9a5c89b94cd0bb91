"""What would have to be there where nothing fits: a need at which the question is answered.

Axes: C candidates.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import log

import numpy as np

from metadata.arrays import Floats
from metadata.errors import NothingFits
from metadata.knowledge import Knowledge
from metadata.methods import METHODS
from service.recommender.aim import Aim
from service.recommender.candidates import Candidate, propose_cheapest
from service.recommender.fitting import Limit, Planned, limits_of, plan_each, shortest
from service.recommender.question import GIB, Question

FRESH = 32  # of the pool: those whose plans are nearest to memory and time
TRIES = 8  # needs that are asked again with: each takes as long as an answer
APART = 1.02  # a need that is less than so many times one that was not enough is not tried
QUANTISED = "Or choose nf4 in a configuration of your own: no answer proposes it by itself."

IsAnswered = Callable[[Question], bool]


def nothing_fits(
    question: Question,
    known: Knowledge,
    aim: Aim,
    candidates: Sequence[Planned],
    *,
    is_answered: IsAnswered,
) -> NothingFits:
    """Return the refusal: what is there, the smallest need that was found, and the next steps.

    Beside the candidates it looks at what becomes one only with more memory or time: the cheapest
    of the pool, and the fewest epochs of what is trusted. The need that is told was asked with.

    Args:
        question: A question that no candidate fits.
        known: What forecasts.
        aim: What the candidates were planned for.
        candidates: Those that may be chosen; none fits.
        is_answered: Says whether a question that has what is needed is answered.
    """
    others = [*shortest(candidates, aim), *propose_cheapest(question, known, aim, count=FRESH)]
    everything = [*candidates, *plan_each(others, question, aim)]
    limits = _needs(question, known, aim, everything, let_in=len(candidates))
    row = _first_answered(question, limits, let_in=len(candidates), is_answered=is_answered)
    needs = " and ".join(f"{_told(limit, row):.3g} {limit.unit}" for limit in limits)
    have = " and ".join(f"{limit.available:.3g} {limit.unit}" for limit in limits)
    steps = [limit.next_step for limit in limits if not limit.is_within[row]]
    if not limits[0].is_within[row] and _fits_quantised(question, aim, candidates):
        steps.append(QUANTISED)
    return NothingFits(
        f"No configuration fits {have}: the smallest of {len(everything)} needs {needs} "
        f"(upper ends of the forecasts). {' '.join(steps)}"
    )


def _needs(
    question: Question, known: Knowledge, aim: Aim, planned: Sequence[Planned], *, let_in: int
) -> list[Limit]:
    """Return the limits with what each candidate needs of them to be chosen.

    The first `let_in` need their upper forecasts; the others are candidates only from where the
    aim holds their plans.
    """
    time, memory = known.costs(
        question.task, [one.configuration for one in planned], [one.plan for one in planned]
    )
    is_late_C = np.arange(len(planned)) >= let_in
    bytes_C = question.memory_bytes / aim.memory_bytes * _column(planned, "peak_bytes")
    limit, aimed = question.train_seconds, aim.train_seconds
    factor = 0.0 if limit is None or aimed is None else limit / aimed
    seconds_C = factor * _column(planned, "train_seconds")
    return limits_of(
        question,
        bytes_C=np.maximum(memory.high_C, is_late_C * bytes_C),
        seconds_C=np.maximum(time.high_C, is_late_C * seconds_C),
    )


def _column(planned: Sequence[Planned], name: str) -> Floats:
    return np.array([getattr(one.plan, name) for one in planned], dtype=np.float64)


def _first_answered(
    question: Question, limits: Sequence[Limit], *, let_in: int, is_answered: IsAnswered
) -> int:
    """Return the candidate nearest to all limits at whose need the question is answered.

    After `TRIES` it is the nearest of the first `let_in`, whose need is a forecast alone.
    """
    overrun_C = np.max([limit.overruns for limit in limits], axis=0)
    failed: list[int] = []
    for row in np.argsort(overrun_C, kind="stable").tolist():
        if failed and overrun_C[row] < overrun_C[failed[-1]] + log(APART):
            continue
        if len(failed) == TRIES:
            break
        if is_answered(_with_enough(question, limits, row)):
            return int(row)
        failed.append(row)
    return int(overrun_C[:let_in].argmin())


def _with_enough(question: Question, limits: Sequence[Limit], row: int) -> Question:
    """Return the question with the budget, and where need be the device, that a candidate needs."""
    needed = {limit.field: _told(limit, row) for limit in limits if not limit.is_within[row]}
    memory = int(needed.get("memory_gib", 0) * GIB)
    device = question.task.device
    larger = device.model_copy(update={"memory_bytes": max(device.memory_bytes, memory)})
    return replace(
        question,
        task=question.task.model_copy(update={"device": larger}),
        budget=question.budget.model_copy(update=needed),
    )


def _told(limit: Limit, row: int) -> float:
    """Return what a candidate needs of a limit, in three digits and never less."""
    need = float(limit.need_C[row])
    rounded = float(f"{need:.3g}")
    return rounded if rounded >= need else float(f"{1.005 * need:.3g}")


def _fits_quantised(question: Question, aim: Aim, candidates: Sequence[Planned]) -> bool:
    """Say whether the plan of a candidate fits in memory where its base is quantised to nf4."""
    if question.task.device.kind != "cuda":
        return False
    quantised = [
        Candidate(
            configuration=one.configuration.model_copy(update={"quantization": "nf4"}),
            source=one.source,
        )
        for one in candidates
        if "nf4" in METHODS[one.configuration.method.name].quantizations
    ]
    return any(one.plan.fits for one in plan_each(quantised, question, aim))
