"""Attempts that end without an outcome, and what becomes of their jobs.

What infrastructure takes is tried again, a few times in a row; a worker that must stop, a pause
and a server that is drained cost no try.
"""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from metadata.database import read_session, write_session
from service.jobs.holding import locked_job
from service.jobs.queue import Clock, database_time, end_attempts
from service.jobs.states import add_event, apply
from service.jobs.timing import BACKOFF, Timing
from service.tables import AttemptRow, JobRow

INFRASTRUCTURE = "infrastructure"  # the error code of a job whose retries are used up


class Losses:
    """The attempts of one database, as whoever looks after them sees them."""

    def __init__(self, engine: Engine, *, timing: Timing, clock: Clock = database_time) -> None:
        """Look at a database that `open_database` has opened."""
        self._engine = engine
        self._timing = timing
        self._clock = clock

    def lose(self, attempt_id: str, *, reason: str, is_loss: bool = True) -> bool:
        """End an attempt that will not report; False where it had ended anyhow.

        Args:
            attempt_id: Which.
            reason: A sentence for the job's events.
            is_loss: Whether it counts as a try; what we stopped ourselves does not.
        """
        with write_session(self._engine) as session:
            job = _locked_alive(session, attempt_id)
            if job is None:
                return False
            now = self._clock(session)
            give_back(
                job,
                session=session,
                now=now,
                timing=self._timing,
                reason=reason,
                is_loss=is_loss,
            )
            return True

    def fail(self, attempt_id: str, *, reason: str, code: str) -> bool:
        """Fail the job of an attempt, where no other try can help; False where it had ended."""
        with write_session(self._engine) as session:
            job = _locked_alive(session, attempt_id)
            if job is None:
                return False
            now = self._clock(session)
            end_attempts(session, job, now=now)
            _fail(job, session=session, now=now, reason=reason, code=code)
            return True

    def alive(self, *, started_by: Collection[str] | None = None) -> frozenset[str]:
        """Return the attempts that are offered or running, all or those of some starters."""
        query = select(AttemptRow.id).where(AttemptRow.ended_at.is_(None))
        if started_by is not None:
            query = query.where(AttemptRow.started_by.in_(started_by))
        with read_session(self._engine) as session:
            return frozenset(session.scalars(query))

    def expired(self) -> list[str]:
        """Return the attempts whose lease has run out."""
        with read_session(self._engine) as session:
            query = select(AttemptRow.id).where(
                AttemptRow.ended_at.is_(None),
                AttemptRow.lease_expires_at < self._clock(session),
            )
            return list(session.scalars(query))

    def expire(self, attempt_id: str) -> bool:
        """End an attempt whose lease has run out; False where it has renewed or ended since."""
        with write_session(self._engine) as session:
            job = _locked_alive(session, attempt_id)
            attempt = session.get(AttemptRow, attempt_id)
            now = self._clock(session)
            if job is None or attempt is None or attempt.lease_expires_at >= now:
                return False
            reason = "The worker was not heard of for longer than its lease."
            give_back(
                job, session=session, now=now, timing=self._timing, reason=reason, is_loss=True
            )
            return True


def give_back(
    job: JobRow,
    *,
    session: Session,
    now: datetime,
    timing: Timing,
    reason: str,
    is_loss: bool,
) -> None:
    """End what tries a locked job, and put the job where it goes on from: the queue, mostly.

    A loss waits longer each time and fails the job at last. Retries count anew once an attempt
    leaves a newer checkpoint.
    """
    end_attempts(session, job, now=now)
    if job.state == "paused":
        add_event(job, session=session, now=now, message=f"{reason} The job is paused.")
        return
    wait = timing.wait(job.retries) if is_loss else None
    if is_loss and wait is None:
        reason = (
            f"{reason} It was tried again {len(BACKOFF)} times in a row without a newer "
            "checkpoint. See that workers and server keep running, and submit the job again."
        )
        _fail(job, session=session, now=now, reason=reason, code=INFRASTRUCTURE)
        return
    if wait is not None:
        job.retries += 1
        job.not_before = now + wait
        reason = (
            f"{reason} Try {job.retries} of {len(BACKOFF)} follows in {wait.total_seconds():.3g} s."
        )
    step = job.checkpoint_step
    message = reason if step is None else f"{reason} It goes on from step {step:,}."
    data = {"retries": job.retries}
    if job.state == "running":
        apply(job, "requeue", session=session, now=now, message=message, data=data)
    else:
        add_event(job, session=session, now=now, message=message, level="warn", data=data)


def _locked_alive(session: Session, attempt_id: str) -> JobRow | None:
    """Return the locked job of an attempt that has not ended."""
    attempt = session.get(AttemptRow, attempt_id)
    if attempt is None:
        return None
    job = locked_job(session, attempt)
    return None if attempt.ended_at is not None else job


def _fail(job: JobRow, *, session: Session, now: datetime, reason: str, code: str) -> None:
    job.error_code, job.reason = code, reason
    apply(job, "fail", session=session, now=now, message=reason)
