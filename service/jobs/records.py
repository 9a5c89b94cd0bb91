"""Jobs and their events as frozen values, apart from the database."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from metadata.methods.spec import Serving
from metadata.records import (
    SUPERVISED,
    Configuration,
    DatasetProfile,
    Measurement,
    ModelProfile,
    Objective,
)
from service.tables import CheckpointRow, EventRow, JobRow


@dataclass(frozen=True, kw_only=True)
class Order:
    """A checked request for a job."""

    model: ModelProfile
    dataset: DatasetProfile
    configuration: Configuration
    objective: Objective = SUPERVISED
    chosen_by: str  # the caller, a recommendation, or the recommender asked by the server
    training_file: str
    validation_file: str | None = None
    recommendation_id: str | None = None
    rank: int | None = None
    forecast_seconds: float | None = None
    serve_with: Serving | None = None
    suffix: str | None = None
    labels: Mapping[str, str]
    owner: str = "local"
    priority: int = 0
    learning_rate_multiplier: float | None = None  # of the recommended rate
    most_seconds: float | None = None  # of training
    warnings: tuple[str, ...] = ()  # of the job's first events, and kept nowhere else


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as it stood when it was read."""

    id: str
    state: str
    order: Order
    progress: float
    start_progress: float  # of the newest attempt: where its checkpoint was
    checkpoint_step: int | None
    retries: int
    trained_tokens: int
    error_code: str | None
    reason: str
    run_id: str | None
    result_file: str | None
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    curve: tuple[Measurement, ...] = ()


@dataclass(frozen=True, kw_only=True)
class JobEvent:
    """Something that happened to a job; numbers rise by 1."""

    job_id: str
    number: int
    kind: str
    level: str
    message: str
    data: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint that an attempt of a job has reported."""

    name: str
    step: int
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class JobPage:
    """Some jobs, newest first."""

    jobs: tuple[Job, ...]
    has_more: bool


@dataclass(frozen=True, kw_only=True)
class EventPage:
    """Some events, newest first."""

    events: tuple[JobEvent, ...]
    has_more: bool


def job_of(row: JobRow, curve: tuple[Measurement, ...] = ()) -> Job:
    """Return the job that a row holds."""
    return Job(
        id=row.id,
        state=row.state,
        order=order_of(row),
        progress=row.progress,
        start_progress=row.start_progress,
        checkpoint_step=row.checkpoint_step,
        retries=row.retries,
        trained_tokens=row.trained_tokens,
        error_code=row.error_code,
        reason=row.reason,
        run_id=row.run_id,
        result_file=row.result_file,
        attempts=row.generation,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        curve=curve,
    )


def order_of(row: JobRow) -> Order:
    """Return what was ordered."""
    return Order(
        model=ModelProfile.model_validate(row.model),
        dataset=DatasetProfile.model_validate(row.dataset),
        configuration=Configuration.model_validate(row.configuration),
        objective=Objective.model_validate(row.objective),
        chosen_by=row.chosen_by,
        training_file=row.training_file,
        validation_file=row.validation_file,
        recommendation_id=row.recommendation_id,
        rank=row.rank,
        forecast_seconds=row.forecast_seconds,
        serve_with=cast(Serving | None, row.serve_with),
        suffix=row.suffix,
        labels=row.labels,
        owner=row.owner,
        priority=row.priority,
        learning_rate_multiplier=row.learning_rate_multiplier,
        most_seconds=row.most_seconds,
    )


def row_of(order: Order, *, job_id: str, now: datetime) -> JobRow:
    """Return a new row, queued."""
    return JobRow(
        id=job_id,
        state="queued",
        base_model=order.model.id,
        model=order.model.model_dump(mode="json"),
        dataset=order.dataset.model_dump(mode="json"),
        configuration=order.configuration.model_dump(mode="json"),
        objective=order.objective.model_dump(mode="json"),
        chosen_by=order.chosen_by,
        recommendation_id=order.recommendation_id,
        rank=order.rank,
        forecast_seconds=order.forecast_seconds,
        serve_with=order.serve_with,
        training_file=order.training_file,
        validation_file=order.validation_file,
        suffix=order.suffix,
        labels=dict(order.labels),
        owner=order.owner,
        priority=order.priority,
        learning_rate_multiplier=order.learning_rate_multiplier,
        most_seconds=order.most_seconds,
        progress=0.0,
        start_progress=0.0,
        retries=0,
        trained_tokens=0,
        reason="",
        generation=0,
        last_event=0,
        created_at=now,
    )


def event_of(row: EventRow) -> JobEvent:
    """Return the event that a row holds."""
    return JobEvent(
        job_id=row.job_id,
        number=row.number,
        kind=row.kind,
        level=row.level,
        message=row.message,
        data=row.data,
        created_at=row.created_at,
    )


def checkpoint_of(row: CheckpointRow) -> Checkpoint:
    """Return the checkpoint that a row holds."""
    return Checkpoint(name=row.name, step=row.step, created_at=row.created_at)
