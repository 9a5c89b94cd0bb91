"""From a request for a job to a checked order: model, files, configuration and form."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace

from metadata.checks import check, check_serving
from metadata.errors import InvalidRequest
from metadata.footprint import usable_bytes
from metadata.methods.spec import Serving
from metadata.objectives import check_form, check_objective, plan_for
from metadata.records import (
    SUPERVISED,
    Configuration,
    DatasetProfile,
    Device,
    ModelProfile,
    Objective,
    Task,
)
from service.catalogue.models import Models
from service.files.store import FileStore
from service.jobs.records import Order
from service.jobs.requests import Hyperparameters, JobRequest
from service.jobs.wishes import check_wishes, most_seconds, with_wishes
from service.recommender.schemas import RecommendedConfiguration
from service.recommender.store import RecommendationStore

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What the recommender would run."""

    recommendation_id: str
    first: RecommendedConfiguration


@dataclass(frozen=True)
class Asked:
    """What the recommender is asked for a job, on the machine that will train it."""

    model: ModelProfile
    dataset: DatasetProfile
    _: KW_ONLY
    objective: Objective = SUPERVISED
    serve_with: Serving | None = None
    most_seconds: float | None = None


Advise = Callable[[Asked], Advice]


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What an order is checked against."""

    models: Models
    files: FileStore
    recommendations: RecommendationStore
    device: Device
    advise: Advise


@dataclass(frozen=True, kw_only=True)
class _Choice:
    configuration: Configuration
    chosen_by: str
    recommendation_id: str | None = None
    rank: int | None = None
    forecast_seconds: float | None = None
    serve_with: Serving | None = None
    learning_rate_multiplier: float | None = None


def check_order(request: JobRequest, desk: Desk) -> Order:
    """Return the order that a request stands for.

    Raises:
        InvalidRequest: The model, the configuration, their match, or the form in which the
            result is wanted is not possible.
        NotFound: There is no such file, recommendation or rank.
    """
    model = desk.models.find(request.model)
    dataset = desk.files.profile(request.training_file, param="training_file")
    if request.validation_file is not None:
        validation = desk.files.profile(request.validation_file, param="validation_file")
        check_form(validation.kind, request.objective.name, param="validation_file")
    check_form(dataset.kind, request.objective.name, param="training_file")
    check_wishes(request.wished, request.peft)
    bound = most_seconds(request.peft, desk.device)
    choice = _choose(request, model, dataset, desk, most_seconds=bound)
    configuration = choice.configuration
    if request.seed is not None:
        configuration = configuration.model_copy(update={"seed": request.seed})
    check(configuration, model)
    check_objective(configuration, request.objective)
    check_serving(configuration, choice.serve_with)
    task = Task(model=model, dataset=dataset, device=desk.device)
    return Order(
        model=model,
        dataset=dataset,
        configuration=configuration,
        objective=request.objective,
        chosen_by=choice.chosen_by,
        recommendation_id=choice.recommendation_id,
        rank=choice.rank,
        forecast_seconds=choice.forecast_seconds,
        serve_with=choice.serve_with,
        training_file=request.training_file,
        validation_file=request.validation_file,
        suffix=request.suffix,
        labels=request.metadata or {},
        priority=0 if request.peft is None else request.peft.priority,
        learning_rate_multiplier=choice.learning_rate_multiplier,
        most_seconds=bound,
        warnings=_warnings(configuration, task, request.objective),
    )


def _warnings(configuration: Configuration, task: Task, objective: Objective) -> tuple[str, ...]:
    """Say where a GPU is too small: an attempt fails there, and other workers may have larger."""
    device, planned = task.device, plan_for(configuration, task, objective)
    if device.kind != "cuda" or planned.fits:
        return ()
    return (
        f"It may not fit: the forecast is {planned.peak_bytes / GIB:.1f} GiB at its peak, and one "
        f"{device.name} has {usable_bytes(device) / GIB:.1f} GiB to train in. Where it runs out of "
        "memory, choose nf4, gradient checkpointing, shorter examples or a smaller model.",
    )


def _choose(
    request: JobRequest,
    model: ModelProfile,
    dataset: DatasetProfile,
    desk: Desk,
    *,
    most_seconds: float | None,
) -> _Choice:
    peft = request.peft
    if peft is None or not (peft.recommendation_id or peft.configuration):
        serve_with = None if peft is None else peft.serve_with
        asked = Asked(
            model,
            dataset,
            objective=request.objective,
            serve_with=serve_with,
            most_seconds=most_seconds,
        )
        return _ask(asked, request.wished, desk)
    if peft.recommendation_id is not None:
        choice = _look_up(
            peft.recommendation_id, peft.rank, model, desk, objective=request.objective
        )
        return replace(choice, serve_with=peft.serve_with or choice.serve_with)
    assert peft.configuration is not None
    check(peft.configuration, model)
    task = Task(model=model, dataset=dataset, device=desk.device)
    return _Choice(
        configuration=peft.configuration,
        chosen_by="caller",
        forecast_seconds=plan_for(peft.configuration, task, request.objective).train_seconds,
        serve_with=peft.serve_with,
    )


def _ask(asked: Asked, wished: Hyperparameters, desk: Desk) -> _Choice:
    advice = desk.advise(asked)
    configuration = with_wishes(advice.first.configuration, wished)
    task = Task(model=asked.model, dataset=asked.dataset, device=desk.device)
    is_changed = configuration != advice.first.configuration
    seconds = plan_for(configuration, task, asked.objective).train_seconds if is_changed else None
    multiplier = wished.learning_rate_multiplier
    return _Choice(
        configuration=configuration,
        chosen_by="recommender",
        recommendation_id=advice.recommendation_id,
        rank=advice.first.rank,
        forecast_seconds=advice.first.train_seconds.expected if seconds is None else seconds,
        serve_with=asked.serve_with,
        learning_rate_multiplier=1.0 if multiplier == "auto" else multiplier,
    )


def _look_up(
    recommendation_id: str, rank: int, model: ModelProfile, desk: Desk, *, objective: Objective
) -> _Choice:
    asked = desk.recommendations.asked(recommendation_id)
    if asked.model != model.id:
        raise InvalidRequest(
            f"Recommendation {recommendation_id} is for {asked.model}, got model {model.id}. "
            "Submit it for the same model, or ask again.",
            param="model",
        )
    if asked.objective != objective.name:
        raise InvalidRequest(
            f"Recommendation {recommendation_id} is for {asked.objective}, got method "
            f"{objective.name}. Submit it with that method, or ask again.",
            param="method",
        )
    ranked = desk.recommendations.ranked(recommendation_id, rank=rank)
    return _Choice(
        configuration=ranked.configuration,
        chosen_by="recommendation",
        recommendation_id=recommendation_id,
        rank=rank,
        forecast_seconds=ranked.train_seconds.expected,
        serve_with=asked.serve_with,
    )
