"""The states of a job and the moves between them; every move leaves an event behind."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy.orm import Session

from metadata.errors import Conflict
from service.tables import EventRow, JobRow

JobState = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
Move = Literal["start", "requeue", "pause", "resume", "succeed", "fail", "cancel"]
Level = Literal["info", "warn", "error"]

MOVES: Mapping[tuple[JobState, Move], JobState] = {
    ("queued", "start"): "running",
    ("queued", "fail"): "failed",
    ("queued", "pause"): "paused",
    ("queued", "cancel"): "cancelled",
    ("running", "requeue"): "queued",
    ("running", "pause"): "paused",
    ("running", "succeed"): "succeeded",
    ("running", "fail"): "failed",
    ("running", "cancel"): "cancelled",
    ("paused", "resume"): "queued",
    ("paused", "succeed"): "succeeded",  # its attempt ended before it heard of the pause
    ("paused", "fail"): "failed",
    ("paused", "cancel"): "cancelled",
}
JOB_STATES: tuple[JobState, ...] = get_args(JobState)
FINAL: frozenset[JobState] = frozenset(JOB_STATES) - {state for state, _ in MOVES}
_LEVELS: Mapping[Move, Level] = {"fail": "error", "cancel": "warn", "requeue": "warn"}


def after(state: str, move: Move) -> JobState:
    """Return the state that a move leads to.

    Raises:
        Conflict: The move does not start from this state.
    """
    for (old, allowed), new in MOVES.items():
        if (old, allowed) == (state, move):
            return new
    possible = [name for old, name in MOVES if old == state]
    raise Conflict(
        f"A job that is {state} cannot {move}; it can {' or '.join(possible) or 'only be read'}."
    )


def apply(
    job: JobRow,
    move: Move,
    *,
    session: Session,
    now: datetime,
    message: str,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Move a job whose row is locked, with its event in the same transaction.

    Raises:
        Conflict: The job's state does not allow it.
    """
    job.state = after(job.state, move)
    if job.state == "running":
        job.started_at = now
    if job.state in FINAL:
        job.finished_at = now
    level = _LEVELS.get(move, "info")
    data = {"state": job.state, **(data or {})}
    add_event(job, session=session, now=now, message=message, level=level, data=data)


def add_event(
    job: JobRow,
    *,
    session: Session,
    now: datetime,
    message: str,
    level: Level = "info",
    kind: Literal["message", "metrics"] = "message",
    data: Mapping[str, Any] | None = None,
) -> None:
    """Note something that happened to a job whose row is locked."""
    job.last_event += 1
    session.add(
        EventRow(
            job_id=job.id,
            number=job.last_event,
            kind=kind,
            level=level,
            message=message,
            data=dict(data or {}),
            created_at=now,
        )
    )
