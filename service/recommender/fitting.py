"""What fits: micro-batches and checkpointing by memory, then time and money by forecast.

Axes: C candidates. A candidate fits where the *upper* end of its forecast is within each limit.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import log

import numpy as np

from metadata.arrays import Booleans, Floats
from metadata.columns import fastest_plans, make_columns
from metadata.footprint import Plan
from metadata.kinds import Kind
from metadata.knowledge import Forecast
from metadata.objectives import in_rows, of_examples
from metadata.records import Configuration
from service.recommender.aim import Aim
from service.recommender.candidates import Candidate
from service.recommender.question import GIB, Question
from service.recommender.schemas import Exclusion, Source

FEWEST_EPOCHS = 0.1  # below, a run has seen too little of the data to be any use
LEAST = 1e-300  # of any unit: logarithms need something
FRESH = ("sample", "neighbour")


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A candidate with the micro-batch, steps and bytes that it would take on the device."""

    configuration: Configuration
    source: Source
    plan: Plan


def make_fit(candidates: list[Candidate], question: Question, aim: Aim) -> list[Planned]:
    """Return each candidate with its plan: micro-batch and checkpointing that take the least time.

    Of those that fit, that is. What evidence or a rule speaks for and would take too long comes in
    a shorter version too.
    """
    planned = plan_each(candidates, question, aim)
    return [*planned, *plan_each(list(_shorter(planned, aim)), question, aim)]


def kind_of(question: Question, candidates: list[Planned], aim: Aim) -> Kind:
    """Return what a question allows: it is told by what evidence and rules speak for.

    Memory or time binds where half of that is over its limit; else adapters only are left where
    full fine-tuning is not allowed, or does not fit.
    """
    trusted = [one for one in candidates if one.source not in FRESH]
    if _is_half(not one.plan.fits for one in trusted):
        return "memory"
    seconds = aim.train_seconds
    if seconds is not None and _is_half(one.plan.train_seconds > seconds for one in trusted):
        return "time"
    has_full = any(
        one.configuration.method.name == "full"
        and one.plan.fits
        and question.allows(one.configuration)
        for one in candidates
    )
    return "free" if has_full else "peft"


def _is_half(answers: Iterable[bool]) -> bool:
    said = list(answers)
    return 2 * sum(said) >= len(said)


def plan_each(candidates: list[Candidate], question: Question, aim: Aim) -> list[Planned]:
    """Return each candidate with its plan, or with the smallest where none fits."""
    learnt = question.training_objective
    columns = make_columns([in_rows(one.configuration, learnt) for one in candidates])
    checkpoints_C, plans = fastest_plans(
        columns, question.task_in_rows, memory_bytes=aim.memory_bytes
    )
    return [
        Planned(
            configuration=_checkpointed(one.configuration, is_on=is_on),
            source=one.source,
            plan=of_examples(plans[number], learnt),
        )
        for number, (one, is_on) in enumerate(zip(candidates, checkpoints_C.tolist(), strict=True))
    ]


def _checkpointed(configuration: Configuration, *, is_on: bool) -> Configuration:
    if configuration.gradient_checkpointing == is_on:
        return configuration
    return configuration.model_copy(update={"gradient_checkpointing": is_on})


def _shorter(candidates: Iterable[Planned], aim: Aim) -> Iterator[Candidate]:
    for candidate, seconds in _too_long(candidates, aim):
        epochs = candidate.configuration.epochs * seconds / candidate.plan.train_seconds
        if epochs >= FEWEST_EPOCHS:
            yield _cut(candidate, float(f"{epochs:.2g}"))


def shortest(candidates: Iterable[Planned], aim: Aim) -> Iterator[Candidate]:
    """Yield what evidence or a rule speaks for and takes too long, at the fewest epochs."""
    for candidate, _ in _too_long(candidates, aim):
        if candidate.configuration.epochs > FEWEST_EPOCHS:
            yield _cut(candidate, FEWEST_EPOCHS)


def _too_long(candidates: Iterable[Planned], aim: Aim) -> Iterator[tuple[Planned, float]]:
    """Yield what is trusted and takes longer than the seconds that are there, with these."""
    seconds = aim.train_seconds
    if seconds is None:
        return
    for candidate in candidates:
        if candidate.source not in FRESH and candidate.plan.train_seconds > seconds:
            yield candidate, seconds


def _cut(candidate: Planned, epochs: float) -> Candidate:
    cut = candidate.configuration.model_copy(update={"epochs": epochs})
    return Candidate(configuration=cut, source="neighbour")


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One limit of the question: what each candidate needs of it, and what is there."""

    rule: str
    field: str  # of the budget
    need_C: Floats
    available: float
    unit: str
    next_step: str

    @property
    def is_within(self) -> Booleans:
        """Say which candidates stay within the limit."""
        return self.need_C <= self.available

    @property
    def overruns(self) -> Floats:
        """Return by which factor each candidate exceeds the limit, as a logarithm."""
        overrun_C: Floats = np.log(np.maximum(self.need_C, LEAST)) - log(max(self.available, LEAST))
        return overrun_C


def stay_within(
    question: Question, forecast: Forecast, allowed_C: Booleans
) -> tuple[Booleans, list[Exclusion]]:
    """Return which candidates are within memory and budget, and why others are not.

    Exclusions count those that are allowed; whether the others fit is told all the same.
    """
    fits_C = np.ones_like(allowed_C)
    excluded = []
    limits = limits_of(question, bytes_C=forecast.bytes_high, seconds_C=forecast.seconds_high)
    for limit in limits:
        leaving_C = allowed_C & fits_C & ~limit.is_within
        if leaving_C.any():
            excluded.append(_exclusion(limit, leaving_C))
        fits_C &= limit.is_within
    return fits_C, excluded


def limits_of(question: Question, *, bytes_C: Floats, seconds_C: Floats) -> list[Limit]:
    """Return the limits of a question, memory first, for candidates that need so much."""
    limits = [_memory(question, bytes_C)]
    if question.budget.train_minutes is not None:
        limits.append(_minutes(question.budget.train_minutes, seconds_C))
    if question.budget.usd is not None and question.usd_per_second is not None:
        limits.append(_money(question.budget.usd, question.usd_per_second, seconds_C))
    return limits


def _memory(question: Question, bytes_C: Floats) -> Limit:
    has = question.memory_bytes / GIB
    is_budget = question.memory_bytes < question.task.device.memory_bytes
    more = "Raise budget.memory_gib" if is_budget else "Take a device with more memory"
    return Limit(
        rule=f"peak memory, upper forecast, at most {has:.4g} GiB a device",
        field="memory_gib",
        need_C=bytes_C / GIB,
        available=has,
        unit="GiB",
        next_step=f"{more}, or take a smaller model or shorter examples.",
    )


def _minutes(budget: float, seconds_C: Floats) -> Limit:
    return Limit(
        rule=f"training time, upper forecast, at most {budget:.4g} minutes",
        field="train_minutes",
        need_C=seconds_C / 60,
        available=budget,
        unit="minutes",
        next_step="Raise budget.train_minutes, take a faster device or fewer examples.",
    )


def _money(budget: float, usd_per_second: float, seconds_C: Floats) -> Limit:
    return Limit(
        rule=f"cost, upper forecast, at most {budget:.4g} USD",
        field="usd",
        need_C=seconds_C * usd_per_second,
        available=budget,
        unit="USD",
        next_step="Raise budget.usd, or take a cheaper or faster device.",
    )


def _exclusion(limit: Limit, leaving_C: Booleans) -> Exclusion:
    least = limit.need_C[leaving_C].min()
    return Exclusion(
        rule=limit.rule,
        count=int(leaving_C.sum()),
        next_step=f"The least of them needs {least:.3g} {limit.unit}. {limit.next_step}",
    )
