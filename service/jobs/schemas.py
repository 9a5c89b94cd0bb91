"""Jobs as JSON answers, in OpenAI's shape with one more object, `peft`."""

from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import Field

from metadata.methods.spec import Serving
from metadata.records import Configuration, Measurement, Objective, Record
from service.jobs.records import Checkpoint, Job, JobEvent
from service.jobs.states import JobState

WHY = {
    "caller": "The configuration came with the order.",
    "recommendation": "It is the rank that the order named of a recommendation given before.",
    "recommender": "The recommender put it first for this model, data and machine; "
    "GET /v1/recommendations/{recommendation_id} says what speaks for it.",
}


class JobError(Record):
    """Why a job failed."""

    code: str
    message: str
    param: str | None = None


class HyperparametersAnswer(Record):
    """What was chosen, in OpenAI's words; `peft.configuration` says all of it.

    A number of passes that is not whole is null here. The multiplier is of the recommended rate:
    null where the caller has given a rate itself.
    """

    n_epochs: int | None
    batch_size: int
    learning_rate_multiplier: float | None


class SupervisedAnswer(Record):
    """What a supervised job was trained by."""

    hyperparameters: HyperparametersAnswer


class MethodAnswer(Record):
    """What was learnt from the data, in OpenAI's words."""

    type: Literal["supervised"] = "supervised"
    supervised: SupervisedAnswer


class DpoHyperparametersAnswer(HyperparametersAnswer):
    """What was chosen for DPO."""

    beta: float


class DpoAnswer(Record):
    """What a DPO job was trained by."""

    hyperparameters: DpoHyperparametersAnswer


class DpoMethodAnswer(Record):
    """A preference was learnt from the data, in OpenAI's words."""

    type: Literal["dpo"] = "dpo"
    dpo: DpoAnswer


class JobDetails(Record):
    """What OpenAI's shape has no place for."""

    configuration: Configuration
    objective: Objective
    chosen_by: str
    why: str
    suffix: str | None
    recommendation_id: str | None
    rank: int | None
    progress: float
    attempts: int
    priority: int
    retries: int
    checkpoint_step: int | None
    forecast_seconds: float | None
    max_seconds: float | None
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
    method: MethodAnswer | DpoMethodAnswer
    result_files: list[str]
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


class CheckpointMetrics(Record):
    """Losses at a checkpoint's step, null where none was measured there."""

    step: int
    train_loss: float | None = None
    valid_loss: float | None = None


class CheckpointAnswer(Record):
    """A checkpoint from which a job goes on."""

    id: str
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    step_number: int
    metrics: CheckpointMetrics


class CheckpointList(Record):
    """Checkpoints, newest first."""

    object: Literal["list"] = "list"
    data: list[CheckpointAnswer]
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
    epochs = configuration.epochs
    hyperparameters = HyperparametersAnswer(
        n_epochs=int(epochs) if epochs.is_integer() else None,
        batch_size=configuration.batch_size,
        learning_rate_multiplier=order.learning_rate_multiplier,
    )
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
            "fine_tuned_model": tuned_name(job) if job.state == "succeeded" else None,
            "trained_tokens": job.trained_tokens or None,
            "training_file": order.training_file,
            "validation_file": order.validation_file,
            "hyperparameters": hyperparameters,
            "method": _method(order.objective, hyperparameters),
            "result_files": [] if job.result_file is None else [job.result_file],
            "seed": configuration.seed,
            "metadata": dict(order.labels) or None,
            "peft": _details(job),
        }
    )


def _method(objective: Objective, chosen: HyperparametersAnswer) -> MethodAnswer | DpoMethodAnswer:
    if objective.beta is None:
        return MethodAnswer(supervised=SupervisedAnswer(hyperparameters=chosen))
    values = DpoHyperparametersAnswer(**chosen.model_dump(), beta=objective.beta)
    return DpoMethodAnswer(dpo=DpoAnswer(hyperparameters=values))


def checkpoint_answer(checkpoint: Checkpoint, job: Job) -> CheckpointAnswer:
    """Return a checkpoint as JSON tells it."""
    losses = {m.split: m.value for m in job.curve if m.step == checkpoint.step and m.name == "loss"}
    step = checkpoint.step
    metrics = {"train_loss": losses.get("train"), "valid_loss": losses.get("validation")}
    return CheckpointAnswer(
        id=f"ftckpt-{job.id.removeprefix('ftjob-')}-{checkpoint.name}",
        created_at=int(checkpoint.created_at.timestamp()),
        fine_tuned_model_checkpoint=f"{tuned_name(job)}:ckpt-step-{step}",
        fine_tuning_job_id=job.id,
        step_number=step,
        metrics=CheckpointMetrics(step=step, **metrics),
    )


def event_answer(event: JobEvent) -> EventAnswer:
    """Return an event as JSON tells it."""
    return EventAnswer.model_validate(
        {
            "id": f"{event.job_id}-{event.number}",
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
        objective=job.order.objective,
        chosen_by=job.order.chosen_by,
        why=WHY.get(job.order.chosen_by, job.order.chosen_by),
        suffix=job.order.suffix,
        recommendation_id=job.order.recommendation_id,
        rank=job.order.rank,
        progress=job.progress,
        attempts=job.attempts,
        priority=job.order.priority,
        retries=job.retries,
        checkpoint_step=job.checkpoint_step,
        forecast_seconds=job.order.forecast_seconds,
        max_seconds=job.order.most_seconds,
        serve_with=job.order.serve_with,
        started_at=_seconds(job.started_at),
        run_id=job.run_id,
        curve=list(job.curve),
    )


def tuned_name(job: Job) -> str:
    """Return the name of the model that a job makes."""
    return f"ft:{job.order.model.id}:{job.order.suffix or 'peftwise'}:{job.id[-8:]}"


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
