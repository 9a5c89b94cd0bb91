"""Propose configurations for a task: from evidence, from published rules, and fresh ones."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from metadata.architectures import targeted
from metadata.knowledge import Knowledge
from metadata.optimizers import OPTIMIZERS
from metadata.priors import carry_over
from metadata.records import Choice, Configuration, Device, ModelProfile, Task
from metadata.space import (
    default_configuration,
    exists,
    neighbours,
    set_by,
    width_rule_configuration,
)
from service.recommender.aim import Aim
from service.recommender.methods import Asked, look_up, not_served
from service.recommender.question import Question
from service.recommender.schemas import Exclusion, Source
from service.recommender.screen import nearest_to_fitting, screen

WINNERS = 32
NEIGHBOURED = 16  # of the configurations that evidence or a rule speaks for
NEIGHBOURS_EACH = 4
FRESH = 80  # describing each takes half a millisecond of the answer
MOST_FRESH = 4 * FRESH  # that are looked at one by one: some cannot exist on the model
# Whatever a past run had; checkpointing is added later, where it is needed to fit.
PLAIN: Mapping[str, Any] = {
    "quantization": "none",
    "gradient_checkpointing": False,
    "packing": False,
    "attention": "sdpa",
    "seed": 0,
}


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A configuration that may be recommended, and where it comes from."""

    configuration: Configuration
    source: Source


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """Candidates for a question, and what left before it became one."""

    candidates: list[Candidate]
    excluded: list[Exclusion]


def propose(
    question: Question, known: Knowledge, aim: Aim, *, rng: np.random.Generator
) -> Proposal:
    """Return different configurations that suit the data and the device, the default first.

    The default stands in row 0 even where `question.methods` leaves it out, since every forecast
    is told against it. In order: default, width rule, portfolio, winners of similar tasks, methods
    asked for at their usual values, neighbours of all these, the best of thousands of fresh ones.
    Fresh are methods and optimizers that past runs tried, and methods that are asked for by name.

    Raises:
        InvalidConfiguration: No method that is asked for can be served as asked, or exists here.
    """
    optimizers = _optimizers(question, known)
    task, asked = question.task, look_up(question, optimizers)
    trusted = [*_from_rules(task), *_from_evidence(task, known)]
    wanted = [c for c in trusted if question.allows(c.configuration)]
    wanted += [Candidate(configuration=one, source="usual") for one in asked.possible]
    methods = _methods(question, asked, known)
    near = list(_neighbours(wanted[:NEIGHBOURED], task.model, methods, optimizers, rng=rng))
    screened = screen(question, known, aim, methods=methods, optimizers=optimizers)
    fresh = (Candidate(configuration=one, source="sample") for one in islice(screened, MOST_FRESH))
    everything = [
        trusted[0],
        *wanted,
        *(c for c in near if question.allows(c.configuration)),
    ]
    candidates = [*_suited(everything, task), *islice(_suited(fresh, task), FRESH)]
    left = _unserved(question, asked, trusted)
    return Proposal(
        candidates=list(_different(candidates)),
        excluded=[*not_served(left, question.serve_with), *asked.excluded],
    )


def propose_cheapest(
    question: Question, known: Knowledge, aim: Aim, *, count: int
) -> list[Candidate]:
    """Return fresh configurations that are over memory and time by the least, nearest first."""
    optimizers = _optimizers(question, known)
    methods = _methods(question, look_up(question, optimizers), known)
    nearest = nearest_to_fitting(question, known, aim, methods=methods, optimizers=optimizers)
    fresh = (Candidate(configuration=one, source="sample") for one in islice(nearest, MOST_FRESH))
    return list(islice(_different(_suited(fresh, question.task)), count))


def _optimizers(question: Question, known: Knowledge) -> tuple[str, ...]:
    return tuple(name for name in known.optimizers if _is_usable(name, question))


def _is_usable(optimizer: str, question: Question) -> bool:
    """Say whether an optimizer runs on the device and lowers what is to be lowered."""
    spec = OPTIMIZERS[optimizer]
    follows = question.training_objective == "supervised" or spec.kind == "gradient"
    return follows and (question.task.device.kind == "cuda" or not spec.needs_cuda)


def _methods(question: Question, asked: Asked, known: Knowledge) -> tuple[str, ...]:
    """Return the methods to draw fresh configurations of."""
    if question.methods is not None:
        return tuple(one.method.name for one in asked.possible)
    return tuple(name for name in known.methods if question.serves(name))


def _unserved(question: Question, asked: Asked, trusted: list[Candidate]) -> list[Configuration]:
    """Return what would be a candidate if its result could be loaded by what is to serve it."""
    allowed = [c.configuration for c in trusted if question.asks_for(c.configuration)]
    left = [one for one in allowed if not question.serves(one.method.name)]
    return [*left, *asked.unserved]


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


def _neighbours(
    around: list[Candidate],
    model: ModelProfile,
    methods: tuple[str, ...],
    optimizers: tuple[str, ...],
    *,
    rng: np.random.Generator,
) -> Iterator[Candidate]:
    for candidate in around:
        for one in neighbours(
            candidate.configuration,
            model,
            count=NEIGHBOURS_EACH,
            rng=rng,
            methods=methods,
            optimizers=optimizers,
        ):
            yield Candidate(configuration=one, source="neighbour")


def _suited(candidates: Iterable[Candidate], task: Task) -> Iterator[Candidate]:
    """Yield those that can exist here, as this task's data, device and widths need them."""
    plain = {**PLAIN, **set_by(task)}
    for candidate in candidates:
        configuration = candidate.configuration.model_copy(
            update={**plain, "method": _narrowed(candidate.configuration, task.model)}
        )
        if exists(configuration, task.model) and _runs_on(configuration, task.device):
            yield Candidate(configuration=configuration, source=candidate.source)


def _runs_on(configuration: Configuration, device: Device) -> bool:
    return device.kind == "cuda" or not OPTIMIZERS[configuration.optimizer.name].needs_cuda


def _narrowed(configuration: Configuration, model: ModelProfile) -> Choice:
    """Return the method with its rank at most the smallest width it is used on."""
    method = configuration.method
    rank = method.values.get("r")
    linears = targeted(model, configuration.target_modules)
    widest = min((min(one.d_in, one.d_out) for one in linears), default=1)
    if not isinstance(rank, int) or rank <= widest:
        return method
    return method.model_copy(update={"r": widest})


def _different(candidates: Iterable[Candidate]) -> Iterator[Candidate]:
    seen: set[str] = set()
    for candidate in candidates:
        key = candidate.configuration.key
        if key not in seen:
            seen.add(key)
            yield candidate
