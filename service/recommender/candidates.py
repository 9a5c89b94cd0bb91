"""Propose configurations for a task: from evidence, from published rules, and fresh ones."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Literal

import numpy as np

from metadata.architectures import targeted
from metadata.errors import InvalidConfiguration
from metadata.knowledge import Knowledge
from metadata.methods import METHODS
from metadata.priors import carry_over
from metadata.records import Configuration, ModelProfile, Task
from metadata.space import (
    check,
    default_configuration,
    neighbours,
    sample,
    width_rule_configuration,
)
from service.recommender.question import Question

Source = Literal["portfolio", "past_winner", "neighbour", "sample", "default", "rule"]

WINNERS = 24
NEIGHBOURS_EACH = 4  # of the first winners and of the portfolio's first
NEIGHBOURED = 12
SAMPLES = 120  # more lengthen the answer and, measured, hardly ever reach its top
TEMPLATE_TOKENS = 24  # a chat template's own, each example
LENGTH_STEP = 64  # tokens; lengths are rounded up to it, as kernels like


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A configuration that may be recommended, and where it comes from."""

    configuration: Configuration
    source: Source


def propose(question: Question, known: Knowledge, *, rng: np.random.Generator) -> list[Candidate]:
    """Return different configurations that suit the data and the device, the default first.

    The default stands in row 0 even where `question.methods` leaves it out, since every forecast
    is told against it. In order: default, width rule, portfolio, winners of similar tasks,
    neighbours of both, fresh samples.
    """
    task = question.task
    trusted = [*_from_rules(task), *_from_evidence(task, known)]
    wanted = [c for c in trusted if _is_wanted(c.configuration, question)]
    everything = [
        trusted[0],
        *wanted,
        *_neighbours(wanted, task.model, rng=rng),
        *_samples(question, rng=rng),
    ]
    return list(_different(_suited(everything, task)))


def _from_rules(task: Task) -> list[Candidate]:
    return [
        Candidate(configuration=default_configuration(task), source="default"),
        Candidate(configuration=width_rule_configuration(task), source="rule"),
    ]


def _from_evidence(task: Task, known: Knowledge) -> list[Candidate]:
    portfolio = [
        carry_over(entry.configuration, known=entry.model, new=task.model)
        for entry in known.portfolio
    ]
    winners = known.past_winners(task, count=WINNERS)
    return [
        *(Candidate(configuration=one, source="portfolio") for one in portfolio),
        *(Candidate(configuration=one, source="past_winner") for one in winners),
    ]


def _is_wanted(configuration: Configuration, question: Question) -> bool:
    return question.methods is None or configuration.method.name in question.methods


def _neighbours(
    near: list[Candidate], model: ModelProfile, *, rng: np.random.Generator
) -> Iterator[Candidate]:
    for candidate in near[:NEIGHBOURED]:
        for one in neighbours(candidate.configuration, model, count=NEIGHBOURS_EACH, rng=rng):
            yield Candidate(configuration=one, source="neighbour")


def _samples(question: Question, *, rng: np.random.Generator) -> Iterator[Candidate]:
    fresh = sample(
        question.task.model, count=SAMPLES, rng=rng, methods=question.methods
    )
    return (Candidate(configuration=one, source="sample") for one in fresh)


def _suited(candidates: Iterable[Candidate], task: Task) -> Iterator[Candidate]:
    for candidate in candidates:
        configuration = suit(candidate.configuration, task)
        if _exists(configuration, task.model):
            yield Candidate(configuration=configuration, source=candidate.source)


def suit(configuration: Configuration, task: Task) -> Configuration:
    """Return a configuration with the length, precision, loss and rank that suit the task."""
    method = configuration.method
    widest = _widest_rank(task.model, configuration.target_modules)
    rank = method.values.get("r")
    if isinstance(rank, int) and rank > widest:
        method = method.model_copy(update={"r": widest})
    return configuration.model_copy(
        update={
            "method": method,
            "batch_size": min(configuration.batch_size, task.dataset.examples),
            "max_length_tokens": length_tokens(task),
            "loss_on": "all" if task.dataset.kind == "text" else "completion",
            "precision": "bf16" if task.device.kind == "cuda" else "fp32",
            "quantization": "none",
            "gradient_checkpointing": False,  # added where it is needed to fit
            "packing": False,
            "attention": "sdpa",
            "seed": 0,
        }
    )


def length_tokens(task: Task) -> int:
    """Return the tokens that 99 % of the examples stay under, within the model's context."""
    data = task.dataset
    tokens = (data.prompt_bytes.p99 + data.completion_bytes.p99) / task.model.bytes_per_token
    rounded = LENGTH_STEP * ceil((tokens + TEMPLATE_TOKENS) / LENGTH_STEP)
    return min(rounded, task.model.context_tokens)


@lru_cache(maxsize=256)
def _widest_rank(model: ModelProfile, target_modules: str) -> int:
    return min(min(one.d_in, one.d_out) for one in targeted(model, target_modules))


def _exists(configuration: Configuration, model: ModelProfile) -> bool:
    try:
        check(configuration, model)
    except InvalidConfiguration:
        return False
    return True


def _different(candidates: Iterable[Candidate]) -> Iterator[Candidate]:
    seen: set[str] = set()
    for candidate in candidates:
        key = candidate.configuration.key
        if key not in seen:
            seen.add(key)
            yield candidate
