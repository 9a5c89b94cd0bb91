"""What an attempt tells of its training, written into the rows of its locked job."""

from datetime import datetime

from sqlalchemy.orm import Session

from metadata.errors import InvalidRequest
from metadata.messages import Outcome, Report, SavedCheckpoint
from metadata.records import Measurement
from service.jobs.states import add_event
from service.tables import AttemptRow, CheckpointRow, JobRow, MeasurementRow
from service.upsert import upsert


def take(
    report: Report, attempt: AttemptRow, job: JobRow, *, session: Session, now: datetime
) -> None:
    """Keep a report, unless its number came before.

    Points of the same name, split and step are written over. A checkpoint of a later step than
    any before says that the job gets on: its retries count anew.

    Raises:
        InvalidRequest: The name of a checkpoint stands for another step.
    """
    if report.number <= attempt.last_batch:
        return
    attempt.last_batch = report.number
    _keep_measurements(session, attempt.id, report.measurements)
    for checkpoint in report.checkpoints:
        _keep_checkpoint(checkpoint, attempt, job, session=session, now=now)
    job.progress, job.trained_tokens = report.progress, report.trained_tokens
    for notice in report.notices:
        add_event(
            job,
            session=session,
            now=now,
            message=notice.message,
            level=notice.level,
            data=notice.data,
        )
    for step, values in _validated(report.measurements).items():
        shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        message, data = f"Step {step}: validation {shown}.", {"step": step, **values}
        add_event(job, session=session, now=now, message=message, kind="metrics", data=data)


def take_over(job: JobRow, attempt: AttemptRow, outcome: Outcome) -> None:
    """Write into a job how its attempt ended."""
    if outcome.costs is not None:
        job.trained_tokens = outcome.costs.trained_tokens
    if says_something(outcome):
        job.run_id = attempt.id.replace("attempt-", "run-", 1)
    if outcome.state == "succeeded":
        job.progress = 1.0
        return
    job.error_code = outcome.state
    job.reason = outcome.reason or f"The attempt ended as {outcome.state} without a reason."


def says_something(outcome: Outcome) -> bool:
    """Say whether an outcome tells of its configuration: a model that never loaded does not."""
    has_trained = outcome.costs is not None and outcome.costs.steps > 0
    return outcome.state != "failed" or has_trained


def farewell(outcome: Outcome, job: JobRow) -> str:
    """Return the sentence of a job's last event."""
    if outcome.scores is None or outcome.state != "succeeded":
        return f"Ended as {outcome.state}: {job.reason}"
    gain = outcome.scores.gain(job.configuration["keep"])
    return f"Succeeded: {gain:+.4f} nats per token against the frozen base, on held-out examples."


def _keep_measurements(
    session: Session, attempt_id: str, measurements: tuple[Measurement, ...]
) -> None:
    rows = {
        (m.split, m.name, m.step): {"attempt_id": attempt_id, **m.model_dump()}
        for m in measurements
    }
    if rows:
        upsert(session, MeasurementRow, list(rows.values()), written_over=["value"])


def _keep_checkpoint(
    checkpoint: SavedCheckpoint,
    attempt: AttemptRow,
    job: JobRow,
    *,
    session: Session,
    now: datetime,
) -> None:
    before = session.get(CheckpointRow, (job.id, checkpoint.name))
    if before is not None and before.step != checkpoint.step:
        raise InvalidRequest(
            f"The name of a checkpoint stands for one step: {checkpoint.name!r} is of step "
            f"{before.step:,}, got step {checkpoint.step:,}. Name checkpoints by their step.",
            param="checkpoints",
        )
    row = {
        "job_id": job.id,
        "name": checkpoint.name,
        "attempt_id": attempt.id,
        "step": checkpoint.step,
        "progress": checkpoint.progress,
        "size_bytes": checkpoint.size_bytes,
        "created_at": now,
    }
    upsert(session, CheckpointRow, [row], written_over=["size_bytes"])
    if job.checkpoint_step is None or checkpoint.step > job.checkpoint_step:
        job.checkpoint_step, job.retries = checkpoint.step, 0


def _validated(measurements: tuple[Measurement, ...]) -> dict[int, dict[str, float]]:
    """Return the validation values of some measurements by step."""
    steps: dict[int, dict[str, float]] = {}
    for measurement in measurements:
        if measurement.split == "validation":
            steps.setdefault(measurement.step, {})[measurement.name] = measurement.value
    return steps
