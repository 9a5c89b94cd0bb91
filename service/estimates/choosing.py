"""Micro-batch and checkpointing: what fits with the least time.

Axes: C = 1 candidate.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from metadata.checks import check
from metadata.errors import InvalidConfiguration
from metadata.footprint import Plan, plan
from metadata.knowledge import Forecast, Knowledge
from metadata.records import Configuration
from service.recommender.question import Question


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A configuration as it would run: its plan on the device, and the forecast of it."""

    configuration: Configuration
    plan: Plan
    forecast: Forecast  # arrays over C

    @property
    def seconds(self) -> float:
        """Return the training time to expect."""
        return float(self.forecast.seconds[0])

    @property
    def upper_bytes(self) -> float:
        """Return the upper end of the forecast of the peak."""
        return float(self.forecast.bytes_high[0])


def choose(configuration: Configuration, question: Question, known: Knowledge) -> Chosen:
    """Return a configuration with the checkpointing and the micro-batch that take the least time.

    Of those that fit, that is; where none does, what needs the least memory. Checkpointing changes
    no result of a run, so that what the configuration says of it is open.
    """
    options = [_largest(one, question, known) for one in _with_and_without(configuration)]
    fitting = [one for one in options if one.upper_bytes <= question.memory_bytes]
    if fitting:
        return min(fitting, key=lambda one: one.seconds)
    return min(options, key=lambda one: one.upper_bytes)


def _with_and_without(configuration: Configuration) -> Iterator[Configuration]:
    for is_on in (False, True):
        option = configuration.model_copy(update={"gradient_checkpointing": is_on})
        try:
            check(option)
        except InvalidConfiguration:
            continue  # the method cannot run its layers again
        yield option


def _largest(configuration: Configuration, question: Question, known: Knowledge) -> Chosen:
    """Return the plan with the largest micro-batch whose upper forecast fits; else of one row."""
    chosen = _at_most(question.memory_bytes, configuration, question, known)
    while chosen.upper_bytes > question.memory_bytes and chosen.plan.micro_batch_size > 1:
        chosen = _at_most(chosen.plan.peak_bytes - 1, configuration, question, known)
    return chosen


def _at_most(
    memory_bytes: int, configuration: Configuration, question: Question, known: Knowledge
) -> Chosen:
    planned = plan(configuration, question.task, memory_bytes=memory_bytes)
    forecast = known.forecast(question.task, [configuration], [planned])
    return Chosen(configuration=configuration, plan=planned, forecast=forecast)
