"""Jobs as JSON, in OpenAI's shape with one more object, `peft`."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from metadata.methods.spec import Serving
from metadata.records import Configuration, Measurement, Name, Record
from service.jobs.records import Job, JobEvent
from service.jobs.states import JobState

Label = Annotated[str, Field(max_length=64)]
LabelValue = Annotated[str, Field(max_length=512)]
Suffix = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]


class PeftChoice(Record):
    """What to run, and what is to load the result.

    A whole configuration, or a rank of a recommendation given before, whose `serve_with` holds
    where none is given here; with neither the recommender chooses.
    """

    configuration: Configuration | None = None
    recommendation_id: Name | None = None
    rank: Annotated[int, Field(ge=1, le=50)] = 1
    serve_with: Serving | None = Field(
        default=None,
        description="what must be able to load the result: peft, as an adapter; merged, plain "
        "weights of the model; vllm, as a plain LoRA adapter",
    )
    priority: Annotated[int, Field(ge=-100, le=100)] = Field(
        default=0, description="jobs of a higher one start first"
    )

    @model_validator(mode="after")
    def _is_not_both(self) -> "PeftChoice":
        if self.configuration is not None and self.recommendation_id is not None:
            raise ValueError(
                "peft takes either configuration or recommendation_id (with rank), got both"
            )
        if not self.model_fields_set - {"rank"}:
            raise ValueError(
                "peft needs configuration, recommendation_id (with rank), serve_with or priority, "
                "got none"
            )
        return self


class Hyperparameters(Record):
    """OpenAI's own three; all are left to the recommender."""

    n_epochs: Literal["auto"] = "auto"
    batch_size: Literal["auto"] = "auto"
    learning_rate_multiplier: Literal["auto"] = "auto"


class JobRequest(Record):
    """Fine-tune a model on a file. Without `peft` the recommender chooses the configuration."""

    model: Name
    training_file: Name
    validation_file: Name | None = None
    suffix: Suffix | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    metadata: Annotated[dict[Label, LabelValue], Field(max_length=16)] | None = None
    hyperparameters: Hyperparameters = Hyperparameters()
    peft: PeftChoice | None = None


class JobError(Record):
    """Why a job failed."""

    code: str
    message: str
    param: str | None = None


class HyperparametersAnswer(Record):
    """What was chosen, in OpenAI's words; `peft.configuration` says all of it."""

    n_epochs: float
    batch_size: int
    learning_rate_multiplier: Literal["auto"] = "auto"


class JobDetails(Record):
    """What OpenAI's shape has no place for."""

    configuration: Configuration
    chosen_by: str
    recommendation_id: str | None
    rank: int | None
    progress: float
    attempts: int
    priority: int
    retries: int
    checkpoint_step: int | None
    forecast_seconds: float | None
    serve_with: Serving | None
    started_at: int | None
    run_id: str | None
    curve: list[Measurement]


class JobAnswer(Record):
    """A job as it stands."""

    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    model: str
    status: JobState
    created_at: int
    finished_at: int | None
    estimated_finish: int | None
    error: JobError | None
    fine_tuned_model: str | None
    trained_tokens: int | None
    training_file: str
    validation_file: str | None
    hyperparameters: HyperparametersAnswer
    seed: int
    metadata: dict[str, str] | None
    user_provided_suffix: str | None
    result_files: list[str] = Field(default_factory=list)
    organization_id: str = "local"
    integrations: list[str] = Field(default_factory=list)
    peft: JobDetails


class JobList(Record):
    """Jobs, newest first, without their curves."""

    object: Literal["list"] = "list"
    data: list[JobAnswer]
    has_more: bool
    first_id: str | None
    last_id: str | None


class JobDeleted(Record):
    """A job that is no more."""

    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    deleted: Literal[True] = True


class JobLog(Record):
    """What the attempts of a job have printed, the newest last."""

    object: Literal["fine_tuning.job.log"] = "fine_tuning.job.log"
    job_id: str
    text: str
    is_cut: bool = Field(description="whether something older was left out")


class EventAnswer(Record):
    """Something that happened to a job."""

    id: str
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    number: int
    created_at: int
    level: Literal["info", "warn", "error"]
    type: Literal["message", "metrics"]
    message: str
    data: dict[str, Any]


class EventList(Record):
    """Events, newest first."""

    object: Literal["list"] = "list"
    data: list[EventAnswer]
    has_more: bool
    first_id: str | None
    last_id: str | None


def job_answer(job: Job, *, now: datetime) -> JobAnswer:
    """Return a job as JSON tells it."""
    order, configuration = job.order, job.order.configuration
    has_failed = job.state == "failed"
    error = JobError(code=job.error_code or "failed", message=job.reason) if has_failed else None
    return JobAnswer.model_validate(
        {
            "id": job.id,
            "model": order.model.id,
            "status": job.state,
            "created_at": _seconds(job.created_at),
            "finished_at": _seconds(job.finished_at),
            "estimated_finish": _seconds(estimated_finish(job, now=now)),
            "error": error,
            "fine_tuned_model": _name(job) if job.state == "succeeded" else None,
            "trained_tokens": job.trained_tokens or None,
            "training_file": order.training_file,
            "validation_file": order.validation_file,
            "hyperparameters": HyperparametersAnswer(
                n_epochs=configuration.epochs, batch_size=configuration.batch_size
            ),
            "seed": configuration.seed,
            "metadata": dict(order.labels) or None,
            "user_provided_suffix": order.suffix,
            "peft": _details(job),
        }
    )


def event_answer(event: JobEvent) -> EventAnswer:
    """Return an event as JSON tells it."""
    return EventAnswer.model_validate(
        {
            "id": f"{event.job_id}-{event.number}",
            "number": event.number,
            "created_at": _seconds(event.created_at),
            "level": event.level,
            "type": event.kind,
            "message": event.message,
            "data": event.data,
        }
    )


def estimated_finish(job: Job, *, now: datetime) -> datetime | None:
    """Return when a running job will end: by its attempt's pace, by forecast before it has one."""
    if job.state != "running" or job.started_at is None:
        return None
    done = job.progress - job.start_progress
    if done > 0:
        return now + (now - job.started_at) * ((1 - job.progress) / done)
    if job.order.forecast_seconds is None:
        return None
    left = job.order.forecast_seconds * (1 - job.start_progress)
    return max(now, job.started_at + timedelta(seconds=left))


def _details(job: Job) -> JobDetails:
    return JobDetails(
        configuration=job.order.configuration,
        chosen_by=job.order.chosen_by,
        recommendation_id=job.order.recommendation_id,
        rank=job.order.rank,
        progress=job.progress,
        attempts=job.attempts,
        priority=job.order.priority,
        retries=job.retries,
        checkpoint_step=job.checkpoint_step,
        forecast_seconds=job.order.forecast_seconds,
        serve_with=job.order.serve_with,
        started_at=_seconds(job.started_at),
        run_id=job.run_id,
        curve=list(job.curve),
    )


def _name(job: Job) -> str:
    return f"ft:{job.order.model.id}:{job.order.suffix or 'peftwise'}:{job.id[-8:]}"


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
