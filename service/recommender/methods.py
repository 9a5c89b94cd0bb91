"""The methods an answer can draw on: those that exist on the model and can be served as asked.

A method that is asked for by name is never dropped in silence: an exclusion says why, and where
none is left the question is refused.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from metadata.checks import check_serving, fault_of
from metadata.errors import InvalidConfiguration
from metadata.methods import METHODS
from metadata.methods.spec import Serving
from metadata.records import Configuration, ModelProfile, Task
from metadata.space import exists, sample, usual_configurations
from service import wording
from service.recommender.question import Question
from service.recommender.schemas import Exclusion

PROBED = 8  # fresh configurations that are looked for where the defaults cannot exist
PROBE_SEED = 0
NAMED = 6  # methods that an exclusion names
_WANTED: dict[Serving, str] = {
    "peft": "loads in PEFT as an adapter",
    "merged": "becomes plain weights of the model",
    "vllm": "loads in vLLM as an adapter",
}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Each method that was asked for, at its usual values; what cannot exist is an exclusion."""

    possible: tuple[Configuration, ...]
    unserved: tuple[Configuration, ...]
    excluded: tuple[Exclusion, ...]


def look_up(question: Question, optimizers: tuple[str, ...]) -> Asked:
    """Return what each method that is asked for by name would usually run.

    Raises:
        InvalidConfiguration: None of them can be served as asked, or has any configuration on
            the model; the message has the rule of the first.
    """
    task, names = question.task, question.methods or ()
    usual = [_usual_configuration(name, task, optimizers) for name in names]
    served = [one for one in usual if question.serves(one.method.name)]
    possible = [one for one in served if exists(one, task.model)]
    if usual and not served:
        check_serving(usual[0], question.serve_with)
    if served and not possible:
        raise _has_none(served[0], task.model)
    return Asked(
        possible=tuple(possible),
        unserved=tuple(one for one in usual if one not in served),
        excluded=tuple(_impossible(one, task.model) for one in served if one not in possible),
    )


def not_served(left: Sequence[Configuration], serve_with: Serving | None) -> Iterator[Exclusion]:
    """Say which methods left because what is to load the result cannot load theirs."""
    if serve_with is None or not left:
        return
    names = list(dict.fromkeys(one.method.name for one in left))
    others = {form for name in names for form in METHODS[name].served_by}
    yield Exclusion(
        rule=f"the result {_WANTED[serve_with]}; that of {_list(names)} does not",
        count=len({one.key for one in left}),
        next_step=f"Leave serve_with out, or set it to {' or '.join(sorted(others))}, to let them "
        "in. GET /v1/methods/{name} says the reason of each.",
    )


def _usual_configuration(name: str, task: Task, optimizers: tuple[str, ...]) -> Configuration:
    """Return a method at its default values and usual rate, on the first layers that allow it.

    A fresh sample stands in where no layers allow the defaults. Where nothing can exist, the
    defaults on all linears are returned, which do not exist either.
    """
    at_defaults = usual_configurations(name, task)
    possible = [one for one in at_defaults if exists(one, task.model)]
    return (possible or _fresh(name, task.model, optimizers) or at_defaults)[0]


def _fresh(name: str, model: ModelProfile, optimizers: tuple[str, ...]) -> list[Configuration]:
    rng = np.random.default_rng(PROBE_SEED)
    return sample(model, count=PROBED, rng=rng, methods=[name], optimizers=optimizers)


def _has_none(configuration: Configuration, model: ModelProfile) -> InvalidConfiguration:
    return InvalidConfiguration(
        f"methods: {_rule(configuration, model)}. Ask for other methods, or leave methods out.",
        param="methods",
    )


def _impossible(configuration: Configuration, model: ModelProfile) -> Exclusion:
    return Exclusion(
        rule=_rule(configuration, model),
        count=1,
        next_step="Ask for another method, or take another base model.",
    )


def _rule(configuration: Configuration, model: ModelProfile) -> str:
    fault = fault_of(configuration, model)
    why = f", since {fault.rule}" if fault is not None else ""
    return f"{wording.method(configuration.method.name)} has no configuration on {model.id}{why}"


def _list(names: Sequence[str]) -> str:
    shown = [wording.method(name) for name in names[:NAMED]]
    more = len(names) - len(shown)
    return ", ".join([*shown, *([f"{more} more"] if more else [])])
