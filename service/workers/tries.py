"""Attempts as they are looked at: who tries what, since when, heard of when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Engine, or_, select

from metadata.database import read_session
from metadata.records import Device
from service.jobs.timing import Timing
from service.tables import AttemptRow, JobRow

MOST = 2_000


@dataclass(frozen=True, kw_only=True)
class Try:
    """One attempt; `heard_at` is its newest renewal, None where it was never claimed."""

    attempt_id: str
    job_id: str
    base_model: str
    progress: float  # of its job
    generation: int
    started_by: str
    is_claimed: bool
    created_at: datetime
    heard_at: datetime | None
    lease_ends_at: datetime
    ended_at: datetime | None
    outcome: str | None  # how it ended by its own word; None where it was lost or gave back
    device: Device | None


def tries_of_job(engine: Engine, job_id: str, *, timing: Timing) -> tuple[Try, ...]:
    """Return the attempts of a job, the newest first."""
    return _read(engine, AttemptRow.job_id == job_id, timing=timing)


def recent_tries(engine: Engine, *, since: datetime, timing: Timing) -> tuple[Try, ...]:
    """Return the attempts that have not ended, and those made since a moment, newest first."""
    is_recent = or_(AttemptRow.ended_at.is_(None), AttemptRow.created_at >= since)
    return _read(engine, is_recent, timing=timing)


def _read(engine: Engine, where: ColumnElement[bool], *, timing: Timing) -> tuple[Try, ...]:
    query = (
        select(AttemptRow, JobRow.base_model, JobRow.progress)
        .join(JobRow)
        .where(where)
        .order_by(AttemptRow.created_at.desc(), AttemptRow.generation.desc())
        .limit(MOST)
    )
    with read_session(engine) as session:
        rows = session.execute(query).all()
        return tuple(_try_of(row, model, done, timing.lease) for row, model, done in rows)


def _try_of(row: AttemptRow, base_model: str, progress: float, lease: timedelta) -> Try:
    is_claimed = row.token_hash is not None
    return Try(
        attempt_id=row.id,
        job_id=row.job_id,
        base_model=base_model,
        progress=progress,
        generation=row.generation,
        started_by=row.started_by,
        is_claimed=is_claimed,
        created_at=row.created_at,
        heard_at=row.lease_expires_at - lease if is_claimed else None,
        lease_ends_at=row.lease_expires_at,
        ended_at=row.ended_at,
        outcome=None if row.outcome is None else str(row.outcome["state"]),
        device=None if row.device is None else Device.model_validate(row.device),
    )


def newest_device(tries: Sequence[Try]) -> Device | None:
    """Return what the newest attempt that said so ran on."""
    return next((one.device for one in tries if one.device is not None), None)
