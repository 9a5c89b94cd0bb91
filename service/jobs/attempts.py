"""What an attempt may do with its job: claim it, keep its lease, report, finish, give it back.

What happens to a job whose attempt is lost stands in `losses`.
"""

import secrets
from dataclasses import dataclass

from sqlalchemy import Engine, or_, select
from sqlalchemy.orm import Session

from metadata.database import read_session, write_session
from metadata.errors import InvalidRequest
from metadata.messages import Outcome, Release, Renewed, Report
from metadata.records import Device
from service.files.store import FileStore
from service.jobs.holding import (
    authenticated,
    check_current,
    hash_of,
    holder,
    known,
    locked_job,
    unknown_code,
)
from service.jobs.losses import give_back
from service.jobs.queue import Clock, curve_of, database_time, end_attempts
from service.jobs.records import Job, job_of
from service.jobs.reports import farewell, take, take_over
from service.jobs.results import keep_results
from service.jobs.states import Move, apply
from service.jobs.timing import Timing
from service.tables import AttemptRow, CheckpointRow, JobRow


@dataclass(frozen=True, kw_only=True)
class Offer:
    """An attempt that waits for its worker; whoever has the code first gets it."""

    attempt_id: str
    job_id: str
    code: str


@dataclass(frozen=True, kw_only=True)
class Held:
    """A claimed attempt with its token, which is told this once."""

    attempt_id: str
    generation: int
    token: str
    job: Job


class Attempts:
    """The tries at the jobs of one database."""

    def __init__(
        self,
        engine: Engine,
        *,
        timing: Timing,
        files: FileStore | None = None,
        clock: Clock = database_time,
    ) -> None:
        """Look at a database that `open_database` has opened; `files` keeps results."""
        self._engine = engine
        self._files = files
        self._timing = timing
        self._clock = clock

    def offer(self, *, started_by: str = "local") -> Offer | None:
        """Make an attempt for the job that goes next, or return None where none waits.

        The highest priority goes first, then the one that waits longest. A job waits that was
        lost a moment ago, or whose last attempt has not ended.

        Args:
            started_by: The executor that will start it, or the worker that asks.
        """
        with write_session(self._engine) as session:
            while (job := self._next(session)) is not None:
                # The row may be newer than what the query has seen of attempts, on PostgreSQL.
                if not _is_tried(session, job):
                    return self._offer(session, job, started_by=started_by)
            return None

    def claim(self, code: str) -> Held:
        """Take the attempt that a code stands for; the job runs from now on.

        Raises:
            Unauthorized: The code is unknown, used, or its attempt has ended.
        """
        with write_session(self._engine) as session:
            found = select(AttemptRow).where(AttemptRow.claim_hash == hash_of(code))
            attempt = session.scalars(found).one_or_none()
            if attempt is None:
                raise unknown_code()
            job = locked_job(session, attempt)
            if attempt.claim_hash is None or job.state != "queued":
                raise unknown_code()
            return self._claim(session, attempt, job)

    def check_token(self, attempt_id: str, token: str) -> None:
        """Let the token of an attempt pass, current or not.

        Raises:
            Unauthorized: The token is not this attempt's.
        """
        with read_session(self._engine) as session:
            authenticated(session, attempt_id, token)

    def check_holder(self, attempt_id: str, token: str) -> str:
        """Return the id of the job that an attempt holds.

        Raises:
            Unauthorized: The token is not this attempt's.
            Conflict: The attempt does not hold its job any more.
        """
        with write_session(self._engine) as session:
            return holder(session, attempt_id, token)[1].id

    def renew(self, attempt_id: str, token: str) -> Renewed:
        """Keep the lease, and hear whether the job was paused or cancelled.

        A job that waits in the queue was paused and resumed since: its attempt gives it back.

        Raises:
            Unauthorized: The token is not this attempt's.
            Conflict: The attempt does not hold its job any more.
        """
        with write_session(self._engine) as session:
            attempt, job = known(session, attempt_id, token)
            if job.state == "cancelled":
                return Renewed(go_on=False, because="cancelled")
            check_current(attempt, job)
            attempt.lease_expires_at = self._clock(session) + self._timing.lease
            if job.state in {"paused", "queued"}:
                return Renewed(go_on=False, because="paused")
            return Renewed(go_on=True)

    def report(self, attempt_id: str, token: str, report: Report) -> None:
        """Keep what happened since the last report; told again, the first time stands.

        Raises:
            Unauthorized: The token is not this attempt's.
            Conflict: The attempt does not hold its job any more.
        """
        with write_session(self._engine) as session:
            attempt, job = holder(session, attempt_id, token)
            take(report, attempt, job, session=session, now=self._clock(session))

    def release(self, attempt_id: str, token: str, release: Release) -> None:
        """End an attempt that has no outcome; told again, the first time stands.

        Raises:
            Unauthorized: The token is not this attempt's.
            Conflict: The attempt does not hold its job any more.
        """
        with write_session(self._engine) as session:
            attempt, job = known(session, attempt_id, token)
            if attempt.ended_at is not None and attempt.outcome is None:
                return
            check_current(attempt, job)
            now = self._clock(session)
            give_back(
                job,
                session=session,
                now=now,
                timing=self._timing,
                reason=release.reason,
                is_loss=release.is_loss,
            )

    def finish(self, attempt_id: str, token: str, outcome: Outcome, device: Device) -> None:
        """End the attempt and its job; told again, the first time stands.

        Raises:
            Unauthorized: The token is not this attempt's.
            Conflict: The attempt does not hold its job any more.
            InvalidRequest: A success without scores or costs.
        """
        if outcome.state == "succeeded" and (outcome.scores is None or outcome.costs is None):
            raise InvalidRequest("A success needs scores and costs, got null. Report `failed`.")
        with write_session(self._engine) as session:
            attempt, job = known(session, attempt_id, token)
            if attempt.outcome is not None:
                return
            check_current(attempt, job)
            now = self._clock(session)
            if job.state == "queued":  # paused, resumed, and done before it heard of either
                apply(job, "start", session=session, now=now, message="It had gone on meanwhile.")
            attempt.outcome = outcome.model_dump(mode="json")
            attempt.device = device.model_dump(mode="json")
            take_over(job, attempt, outcome)
            if outcome.state == "succeeded" and self._files is not None:
                curve = curve_of(session, attempt.id)
                job.result_file = keep_results(self._files, session, job.id, curve, now=now)
            end_attempts(session, job, now=now)
            move: Move = "succeed" if outcome.state == "succeeded" else "fail"
            apply(job, move, session=session, now=now, message=farewell(outcome, job))

    def file_of(self, attempt_id: str, token: str, *, validation: bool) -> str | None:
        """Return the id of the file that an attempt learns from, or is validated on.

        Raises:
            Unauthorized: The token is not this attempt's.
            Conflict: The attempt does not hold its job any more.
        """
        with write_session(self._engine) as session:
            _, job = holder(session, attempt_id, token)
            return job.validation_file if validation else job.training_file

    def _next(self, session: Session) -> JobRow | None:
        """Lock the job that goes next, unless another transaction has it."""
        now = self._clock(session)
        under_way = select(AttemptRow.job_id).where(AttemptRow.ended_at.is_(None))
        waiting = (
            select(JobRow)
            .where(
                JobRow.state == "queued",
                or_(JobRow.not_before.is_(None), JobRow.not_before <= now),
                JobRow.id.not_in(under_way),
            )
            .order_by(JobRow.priority.desc(), JobRow.created_at, JobRow.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        return session.scalars(waiting).one_or_none()

    def _offer(self, session: Session, job: JobRow, *, started_by: str) -> Offer:
        now = self._clock(session)
        code = secrets.token_urlsafe(32)
        job.generation += 1
        attempt = AttemptRow(
            id=f"attempt-{secrets.token_hex(12)}",
            job_id=job.id,
            generation=job.generation,
            state="offered",
            started_by=started_by,
            claim_hash=hash_of(code),
            lease_expires_at=now + self._timing.offer,
            is_recorded=False,
            created_at=now,
        )
        session.add(attempt)
        return Offer(attempt_id=attempt.id, job_id=job.id, code=code)

    def _claim(self, session: Session, attempt: AttemptRow, job: JobRow) -> Held:
        now = self._clock(session)
        token = f"{attempt.generation}.{secrets.token_urlsafe(32)}"
        attempt.claim_hash, attempt.token_hash = None, hash_of(token)
        attempt.state = "running"
        attempt.lease_expires_at = now + self._timing.lease
        job.start_progress = job.progress = _kept_progress(session, job)
        data = {"attempt": attempt.id, "generation": attempt.generation}
        message = "Started: a worker has claimed the job."
        apply(job, "start", session=session, now=now, message=message, data=data)
        return Held(
            attempt_id=attempt.id, generation=attempt.generation, token=token, job=job_of(job)
        )


def _is_tried(session: Session, job: JobRow) -> bool:
    """Say whether a locked job has an attempt that has not ended."""
    alive = AttemptRow.job_id == job.id, AttemptRow.ended_at.is_(None)
    return session.scalars(select(AttemptRow.id).where(*alive)).first() is not None


def _kept_progress(session: Session, job: JobRow) -> float:
    """Return how far the newest checkpoint of a job is."""
    newest = (
        select(CheckpointRow.progress)
        .where(CheckpointRow.job_id == job.id)
        .order_by(CheckpointRow.step.desc())
        .limit(1)
    )
    return session.scalars(newest).one_or_none() or 0.0
