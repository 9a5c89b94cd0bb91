"""From a request to models in the order to prefer them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from metadata.errors import NothingFits
from metadata.features.device import find_device
from metadata.features.task import training_examples
from metadata.knowledge import Knowledge
from metadata.model_outlook import Basis, Observed, Outlook, outlook
from metadata.objectives import objective_of
from metadata.records import ModelProfile, Task
from service.catalogue.devices import FindDevice
from service.outlooks.advice import advise
from service.outlooks.past import PastLosses
from service.outlooks.schemas import Law, ModelOutlook, ModelsAnswer, ModelsRequest, SmallRun
from service.recommender.answer import answer_question
from service.recommender.question import (
    FindModel,
    FindProfile,
    Question,
    check_price,
    find_public_model,
    no_files,
    read_dataset,
    read_device,
    read_model,
)
from service.recommender.schemas import Interval, RecommendedConfiguration


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """One model and what is known of it."""

    profile: ModelProfile
    per_pair: bool  # the losses, as DPO's are; else per byte
    observed: list[Observed]
    outlook: Outlook | None
    configuration: RecommendedConfiguration | None
    next_step: str


def choose_model(
    request: ModelsRequest,
    known: Knowledge,
    *,
    now: datetime,
    past_losses: PastLosses,
    find_profile: FindProfile = no_files,
    known_model: FindModel = find_public_model,
    known_device: FindDevice = find_device,
) -> ModelsAnswer:
    """Return the models in the order to prefer them.

    Args:
        request: As it came over the wire.
        known: The knowledge that recommends a configuration for each.
        now: When the answer is made.
        past_losses: Runs of a model, by its id, on the data or parts of it. Of an uploaded file
            no part is known: losses on these are given in `request.runs`.
        find_profile: Profile of an uploaded file by its id.
        known_model: Profile of a model by its id.
        known_device: Device by its name.

    Raises:
        InvalidRequest: A field cannot be answered; `param` names it.
        NotFound: There is no file by that id.
    """
    data = read_dataset(request.dataset, find_profile=find_profile)
    device = read_device(request.hardware, known_device=known_device)
    check_price(request.budget, device)
    examples, learnt = training_examples(data), objective_of(data.kind)
    seen = []
    for choice in request.base_models:
        profile = read_model(choice, known_model=known_model)
        runs = [*past_losses(data, profile.id), *(r for r in request.runs if r.model == choice.id)]
        question = Question(
            task=Task(model=profile, dataset=data, device=device),
            budget=request.budget,
            training_objective=learnt,
            count=1,
        )
        seen.append(_look(question, runs, known, now=now, examples=examples))
    ordered = sorted(seen, key=_preference)
    return ModelsAnswer(
        data=[_outlook(one, rank) for rank, one in enumerate(ordered, start=1)],
        examples=examples,
        advice=advise(
            [None if one.outlook is None else one.outlook.basis for one in seen],
            unit="pair" if learnt == "dpo" else "byte",
            examples=examples,
        ),
    )


def _look(
    question: Question, runs: Sequence[SmallRun], known: Knowledge, *, now: datetime, examples: int
) -> _Seen:
    profile, configuration, next_step = question.task.model, None, ""
    try:
        configuration = answer_question(question, known, now=now).configurations[0]
    except NothingFits as error:
        next_step = str(error)
    per_pair = question.training_objective == "dpo"
    divisor = 1.0 if per_pair else profile.bytes_per_token
    observed = [Observed(examples=one.examples, loss=one.loss / divisor) for one in runs]
    return _Seen(
        profile=profile,
        per_pair=per_pair,
        observed=observed,
        outlook=outlook(observed, examples=examples) if observed else None,
        configuration=configuration,
        next_step=next_step,
    )


def _preference(seen: _Seen) -> tuple[bool, bool, float, int, str]:
    loss = 0.0 if seen.outlook is None else seen.outlook.loss
    parameters = seen.profile.parameters
    return (
        seen.configuration is None,
        seen.outlook is None,
        loss,
        -parameters,
        seen.profile.id,
    )


def _outlook(seen: _Seen, rank: int) -> ModelOutlook:
    said = seen.outlook
    basis: Basis | Literal["size"] = "size" if said is None else said.basis
    loss = None if said is None else Interval(expected=said.loss, low=said.low, high=said.high)
    return ModelOutlook(
        rank=rank,
        model=seen.profile.id,
        parameters=seen.profile.parameters,
        basis=basis,
        sizes=sorted({one.examples for one in seen.observed}),
        loss_per_byte=None if seen.per_pair else loss,
        loss_per_pair=loss if seen.per_pair else None,
        law=_law(said),
        configuration=seen.configuration,
        next_step=seen.next_step,
    )


def _law(said: Outlook | None) -> Law | None:
    if said is None or said.law is None:
        return None
    return Law(
        scale=said.law.scale,
        transition_examples=said.law.transition_examples,
        exponent=said.law.exponent,
        floor=said.law.floor,
    )
