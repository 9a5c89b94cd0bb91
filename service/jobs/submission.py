"""From a request for a job to a checked order: model, files, configuration and form."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from metadata.checks import check, check_serving
from metadata.errors import InvalidRequest
from metadata.footprint import plan
from metadata.methods.spec import Serving
from metadata.records import Configuration, DatasetProfile, Device, ModelProfile, Task
from service.catalogue.models import Models
from service.files.store import FileStore
from service.jobs.records import Order
from service.jobs.schemas import JobRequest
from service.recommender.schemas import RecommendedConfiguration
from service.recommender.store import RecommendationStore


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What the recommender would run."""

    recommendation_id: str
    first: RecommendedConfiguration


Advise = Callable[[ModelProfile, DatasetProfile, Serving | None], Advice]


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


def check_order(request: JobRequest, desk: Desk) -> Order:
    """Return the order that a request stands for.

    Raises:
        InvalidRequest: The model, the configuration, their match, or the form in which the
            result is wanted is not possible.
        NotFound: There is no such file, recommendation or rank.
    """
    model = desk.models.find(request.model)
    dataset = desk.files.get(request.training_file, param="training_file").profile
    if request.validation_file is not None:
        desk.files.get(request.validation_file, param="validation_file")
    choice = _choose(request, model, dataset, desk)
    configuration = choice.configuration
    if request.seed is not None:
        configuration = configuration.model_copy(update={"seed": request.seed})
    check(configuration, model)
    check_serving(configuration, choice.serve_with)
    return Order(
        model=model,
        dataset=dataset,
        configuration=configuration,
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
    )


def _choose(
    request: JobRequest, model: ModelProfile, dataset: DatasetProfile, desk: Desk
) -> _Choice:
    peft = request.peft
    if peft is None:
        return _ask(model, dataset, desk, serve_with=None)
    if peft.recommendation_id is not None:
        choice = _look_up(peft.recommendation_id, peft.rank, model, desk)
        return replace(choice, serve_with=peft.serve_with or choice.serve_with)
    if peft.configuration is None:
        return _ask(model, dataset, desk, serve_with=peft.serve_with)
    check(peft.configuration, model)
    task = Task(model=model, dataset=dataset, device=desk.device)
    return _Choice(
        configuration=peft.configuration,
        chosen_by="caller",
        forecast_seconds=plan(peft.configuration, task).train_seconds,
        serve_with=peft.serve_with,
    )


def _ask(
    model: ModelProfile, dataset: DatasetProfile, desk: Desk, *, serve_with: Serving | None
) -> _Choice:
    advice = desk.advise(model, dataset, serve_with)
    return _Choice(
        configuration=advice.first.configuration,
        chosen_by="recommender",
        recommendation_id=advice.recommendation_id,
        rank=advice.first.rank,
        forecast_seconds=advice.first.train_seconds.expected,
        serve_with=serve_with,
    )


def _look_up(recommendation_id: str, rank: int, model: ModelProfile, desk: Desk) -> _Choice:
    asked = desk.recommendations.asked(recommendation_id)
    if asked.model != model.id:
        raise InvalidRequest(
            f"Recommendation {recommendation_id} is for {asked.model}, got model {model.id}. "
            "Submit it for the same model, or ask again.",
            param="model",
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
