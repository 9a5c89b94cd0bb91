"""The ten promises of jobs, each as queries that find what breaks it.

A query returns ids of what is wrong; where all is well every one returns nothing.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Select, String, and_, cast, func, or_, select, tuple_
from sqlalchemy.orm import aliased

from metadata.run_rows import RunRow
from service.jobs.losses import INFRASTRUCTURE
from service.jobs.recording import ORIGIN
from service.jobs.states import FINAL, MOVES
from service.jobs.timing import BACKOFF, Timing
from service.tables import AttemptRow, CheckpointRow, EventRow, JobRow, MeasurementRow

Query = Select[str]
Queries = Callable[[datetime, Timing], list[Query]]

_ALIVE = AttemptRow.ended_at.is_(None)
_STATE = EventRow.data["state"].as_string()
_SLACK = 2  # leases: an expired one is seen within a step, a dead server's after its next start


def _accepted(now: datetime, timing: Timing) -> list[Query]:
    """Find jobs without the event of their acceptance, and live ones that nothing moves."""
    first = select(EventRow.job_id).where(EventRow.number == 1)
    alive = select(AttemptRow.job_id).where(_ALIVE)
    return [
        select(JobRow.id).where(JobRow.id.not_in(first)),
        select(JobRow.id).where(JobRow.state == "running", JobRow.id.not_in(alive)),
    ]


def _one_result(now: datetime, timing: Timing) -> list[Query]:
    """Find jobs of several results, in attempts or in the history, and results without a job."""
    told = AttemptRow.outcome.is_not(None)
    job_of_run = RunRow.origin["detail"].as_string()
    of_jobs = RunRow.origin_source == ORIGIN
    return [
        _several(select(AttemptRow.job_id).where(told), AttemptRow.job_id),
        _several(select(job_of_run).where(of_jobs), job_of_run),
        select(AttemptRow.id).join(JobRow).where(told, JobRow.state.not_in(FINAL)),
    ]


def _one_holder(now: datetime, timing: Timing) -> list[Query]:
    """Find attempts that live beside a newer one, and tokens that are there too early or late."""
    job = select(JobRow.generation).where(JobRow.id == AttemptRow.job_id).scalar_subquery()
    running = AttemptRow.state == "running"
    return [
        _several(select(AttemptRow.job_id).where(_ALIVE), AttemptRow.job_id),
        select(AttemptRow.id).where(_ALIVE, AttemptRow.generation != job),
        select(AttemptRow.id).where(AttemptRow.generation > job),
        select(AttemptRow.id).where(running, AttemptRow.token_hash.is_(None)),
        select(AttemptRow.id).where(
            AttemptRow.claim_hash.is_not(None), AttemptRow.token_hash.is_not(None)
        ),
    ]


def _leases(now: datetime, timing: Timing) -> list[Query]:
    """Find leases that ran out long ago, and ones longer than a lease may be."""
    return [
        select(AttemptRow.id).where(
            _ALIVE, AttemptRow.lease_expires_at < now - _SLACK * timing.lease
        ),
        select(AttemptRow.id).where(_ALIVE, AttemptRow.lease_expires_at > now + timing.offer),
    ]


def _measurements(now: datetime, timing: Timing) -> list[Query]:
    """Find measurements of no attempt, and of one that never got a token."""
    claimed = select(AttemptRow.id).where(AttemptRow.token_hash.is_not(None))
    return [select(MeasurementRow.attempt_id).where(MeasurementRow.attempt_id.not_in(claimed))]


def _checkpoints(now: datetime, timing: Timing) -> list[Query]:
    """Find jobs whose newest checkpoint is not the one that they name."""
    newest = (
        select(func.max(CheckpointRow.step))
        .where(CheckpointRow.job_id == JobRow.id)
        .scalar_subquery()
    )
    named = func.coalesce(JobRow.checkpoint_step, -1)
    return [select(JobRow.id).where(named != func.coalesce(newest, -1))]


def _cancelled(now: datetime, timing: Timing) -> list[Query]:
    """Find cancelled jobs that went on: with a result, a live attempt, or a later state."""
    cancelled = JobRow.state == "cancelled"
    at = aliased(EventRow)
    return [
        select(JobRow.id).where(cancelled, JobRow.run_id.is_not(None)),
        select(JobRow.id).join(AttemptRow).where(cancelled, _ALIVE),
        select(EventRow.job_id)
        .join(at, and_(at.job_id == EventRow.job_id, at.number < EventRow.number))
        .where(at.data["state"].as_string() == "cancelled", _STATE.is_not(None)),
    ]


def _moves(now: datetime, timing: Timing) -> list[Query]:
    """Find events with gaps, states that no event tells, and moves that no table has."""
    count = func.count(EventRow.number)
    told = (
        select(
            EventRow.job_id,
            EventRow.number,
            _STATE.label("state"),
            func.lag(_STATE)
            .over(partition_by=EventRow.job_id, order_by=EventRow.number)
            .label("before"),
        )
        .where(_STATE.is_not(None))
        .subquery()
    )
    allowed = sorted({(old, new) for (old, _), new in MOVES.items()})
    newest = (
        select(told.c.state)
        .where(told.c.job_id == JobRow.id)
        .order_by(told.c.number.desc())
        .limit(1)
        .scalar_subquery()
    )
    return [
        select(JobRow.id)
        .join(EventRow)
        .group_by(JobRow.id, JobRow.last_event)
        .having(or_(count != JobRow.last_event, func.max(EventRow.number) != JobRow.last_event)),
        select(JobRow.id).where(JobRow.state != newest),
        select(told.c.job_id).where(
            told.c.before.is_not(None), tuple_(told.c.before, told.c.state).not_in(allowed)
        ),
    ]


def _retries(now: datetime, timing: Timing) -> list[Query]:
    """Find jobs tried too often, given up too early, or made to wait for too long."""
    given_up = and_(JobRow.state == "failed", JobRow.error_code == INFRASTRUCTURE)
    return [
        select(JobRow.id).where(JobRow.retries > len(BACKOFF)),
        select(JobRow.id).where(given_up, JobRow.retries < len(BACKOFF)),
        select(JobRow.id).where(JobRow.not_before > now + max(BACKOFF) * timing.lease),
    ]


def _learnt(now: datetime, timing: Timing) -> list[Query]:
    """Find runs in the history whose attempt has no result, or another one."""
    attempt = cast(func.replace(RunRow.id, "run-", "attempt-"), String)
    return [
        select(RunRow.id)
        .join(AttemptRow, AttemptRow.id == attempt)
        .where(RunRow.origin_source == ORIGIN)
        .where(
            or_(
                AttemptRow.outcome.is_(None),
                _ALIVE,
                AttemptRow.outcome["state"].as_string() != RunRow.state,
            )
        )
    ]


PROMISES: Mapping[str, Queries] = {
    "A job that was accepted is never lost": _accepted,
    "A run has at most one result, which counts once": _one_result,
    "Only the holder of the newest token may act": _one_holder,
    "Who does not renew loses the lease": _leases,
    "Measurements belong to an attempt that was claimed": _measurements,
    "A job names its newest checkpoint": _checkpoints,
    "Cancelled is final": _cancelled,
    "States move by the table, each with its event": _moves,
    "What is lost is tried again, and only so often": _retries,
    "The history holds recorded results alone": _learnt,
}


def _several(query: Select[Any], column: Any) -> Query:
    """Return what a query finds more than once."""
    return query.group_by(column).having(func.count() > 1)
