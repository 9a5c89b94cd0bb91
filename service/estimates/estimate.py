"""One request, one estimate: what the route, the command line and the page all call."""

from dataclasses import dataclass
from datetime import datetime

from metadata.checks import check, check_serving
from metadata.errors import InvalidRequest
from metadata.features.device import find_device
from metadata.knowledge import Knowledge
from metadata.methods.spec import Serving
from metadata.records import Configuration
from service.catalogue.devices import FindDevice
from service.estimates.advice import advise, notes_on, overruns
from service.estimates.choosing import Chosen, choose
from service.estimates.knobs import Step, knobs_of
from service.estimates.phases import phases
from service.estimates.schemas import ChosenBy, EstimateAnswer, EstimateRequest
from service.jobs.requests import PeftChoice
from service.recommender.answer import answer_question
from service.recommender.question import FindModel, FindProfile, Question, build_question
from service.recommender.schemas import Interval, RecommendationRequest
from service.recommender.store import RecommendationStore


@dataclass(frozen=True, kw_only=True)
class _Asked:
    configuration: Configuration
    chosen_by: ChosenBy
    recommendation_id: str | None = None
    rank: int | None = None
    serve_with: Serving | None = None


def estimate(
    request: EstimateRequest,
    known: Knowledge,
    *,
    recommendations: RecommendationStore,
    now: datetime,
    find_profile: FindProfile,
    known_model: FindModel,
    known_device: FindDevice = find_device,
) -> EstimateAnswer:
    """Return what a run would need; nothing is trained.

    Args:
        request: As it came over the wire.
        known: The knowledge to forecast from.
        recommendations: Where a recommendation is looked up, or kept where one has to be made.
        now: When that one is made, with a time zone.
        find_profile: Profile of an uploaded file by its id; raises NotFound.
        known_model: Profile of a model by its id; raises UnknownModel.
        known_device: Device by its name, count and memory; raises UnknownDevice.

    Raises:
        InvalidRequest: A field cannot be answered; `param` names it. Its kinds UnknownModel,
            UnknownDevice, InvalidDataset, InvalidConfiguration; NothingFits where the
            recommender was to choose.
        NotFound: There is no such file, recommendation or rank.
    """
    wanted = _wanted(request)
    question = build_question(
        wanted, find_profile=find_profile, known_model=known_model, known_device=known_device
    )
    if question.training_objective != "supervised":
        raise InvalidRequest(
            "An estimate is of supervised training, got preferences. POST /v1/recommendations "
            "forecasts time and memory of DPO.",
            param="dataset",
        )
    asked = _choice(request.peft, wanted, question, known, recommendations, now=now)
    check(asked.configuration, question.task.model)
    check_serving(asked.configuration, asked.serve_with)
    chosen = choose(asked.configuration, question, known)
    return _describe(asked, chosen, question, known)


def _wanted(request: EstimateRequest) -> RecommendationRequest:
    """Return the question that the recommender would be asked for the same task."""
    return RecommendationRequest(
        base_model=request.base_model,
        dataset=request.dataset,
        hardware=request.hardware,
        budget=request.budget,
        serve_with=None if request.peft is None else request.peft.serve_with,
        count=1,
    )


def _choice(
    peft: PeftChoice | None,
    wanted: RecommendationRequest,
    question: Question,
    known: Knowledge,
    recommendations: RecommendationStore,
    *,
    now: datetime,
) -> _Asked:
    if peft is not None and peft.recommendation_id is not None:
        return _look_up(peft, peft.recommendation_id, question, recommendations)
    if peft is not None and peft.configuration is not None:
        return _Asked(
            configuration=peft.configuration, chosen_by="caller", serve_with=peft.serve_with
        )
    given = answer_question(question, known, now=now)
    recommendations.keep(wanted, given)
    first = given.configurations[0]
    return _Asked(
        configuration=first.configuration,
        chosen_by="recommender",
        recommendation_id=given.id,
        rank=first.rank,
    )


def _look_up(
    peft: PeftChoice,
    recommendation_id: str,
    question: Question,
    recommendations: RecommendationStore,
) -> _Asked:
    asked, model = recommendations.asked(recommendation_id), question.task.model
    if asked.model != model.id:
        raise InvalidRequest(
            f"Recommendation {recommendation_id} is for {asked.model}, got base_model.id "
            f"{model.id}. Estimate it for the same model, or ask again.",
            param="base_model.id",
        )
    return _Asked(
        configuration=recommendations.ranked(recommendation_id, rank=peft.rank).configuration,
        chosen_by="recommendation",
        recommendation_id=recommendation_id,
        rank=peft.rank,
        serve_with=peft.serve_with or asked.serve_with,
    )


def _describe(
    asked: _Asked, chosen: Chosen, question: Question, known: Knowledge
) -> EstimateAnswer:
    planned, forecast = chosen.plan, chosen.forecast
    step = Step(
        configuration=chosen.configuration,
        task=question.task,
        micro_batch_size=planned.micro_batch_size,
        accumulates=planned.accumulation_steps > 1,
    )
    held, knobs = phases(step.footprint()), knobs_of(step)
    price, fits = question.usd_per_second, not list(overruns(question, chosen))
    return EstimateAnswer(
        configuration=chosen.configuration,
        chosen_by=asked.chosen_by,
        recommendation_id=asked.recommendation_id,
        rank=asked.rank,
        train_seconds=Interval(
            expected=chosen.seconds,
            low=float(forecast.seconds_low[0]),
            high=float(forecast.seconds_high[0]),
        ),
        peak_memory_bytes=Interval(
            expected=float(forecast.bytes[0]),
            low=float(forecast.bytes_low[0]),
            high=chosen.upper_bytes,
        ),
        memory_bytes=question.memory_bytes,
        cost_usd=None if price is None else price * chosen.seconds,
        fits=fits,
        micro_batch_size=planned.micro_batch_size,
        accumulation_steps=planned.accumulation_steps,
        gradient_checkpointing=chosen.configuration.gradient_checkpointing,
        length_tokens=planned.length_tokens,
        steps=planned.steps,
        tokens=planned.tokens,
        trainable_parameters=planned.trainable_parameters,
        phases=held,
        knobs=knobs,
        advice=advise(question, chosen, held, knobs),
        notes=notes_on(
            chosen,
            question.task.model,
            asked_checkpointing=asked.configuration.gradient_checkpointing,
            fits=chosen.upper_bytes <= question.memory_bytes,
        ),
        knowledge_version=known.version,
    )
