"""What an attempt may do with its job: claim it, keep its lease, report, finish; or be lost.

A claim code works once and gives a token: the number of the attempt, which rises with each, and
a secret. Only hashes of both are kept. All but the newest attempt that has not ended is refused.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from metadata.database import read_session, write_session
from metadata.errors import Conflict, InvalidRequest, Unauthorized
from metadata.messages import MeasurementBatch, Outcome
from metadata.records import Device, Measurement
from service.jobs.queue import Clock, database_time, end_attempts, find_job
from service.jobs.records import Job, job_of
from service.jobs.states import Move, add_event, apply
from service.tables import AttemptRow, JobRow, MeasurementRow

_INSERTS: Mapping[str, Callable[..., Any]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}


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
    token: str
    job: Job


class Attempts:
    """The tries at the jobs of one database."""

    def __init__(
        self, engine: Engine, *, lease_seconds: float, clock: Clock = database_time
    ) -> None:
        """Look at a database that `open_database` has opened."""
        self._engine = engine
        self._lease = timedelta(seconds=lease_seconds)
        self._clock = clock

    def offer(self) -> Offer | None:
        """Make an attempt for the job that waits longest, or return None where none waits."""
        offered = select(AttemptRow.job_id).where(AttemptRow.ended_at.is_(None))
        waiting = (
            select(JobRow)
            .where(JobRow.state == "queued", JobRow.id.not_in(offered))
            .order_by(JobRow.created_at, JobRow.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        with write_session(self._engine) as session:
            job = session.scalars(waiting).one_or_none()
            return None if job is None else self._offer(session, job)

    def claim(self, code: str) -> Held:
        """Take the attempt that a code stands for; the job runs from now on.

        Raises:
            Unauthorized: The code is unknown, used, or its attempt has ended.
        """
        with write_session(self._engine) as session:
            found = select(AttemptRow).where(AttemptRow.claim_hash == _hash(code))
            attempt = session.scalars(found).one_or_none()
            if attempt is None:
                raise _unknown_code()
            job = _locked_job(session, attempt)
            if attempt.claim_hash is None or job.state != "queued":
                raise _unknown_code()
            return self._claim(session, attempt, job)

    def check_token(self, attempt_id: str, token: str) -> None:
        """Let the token of an attempt pass, current or not.

        Raises:
            Unauthorized: The token is not this attempt's.
        """
        with read_session(self._engine) as session:
            _authenticated(session, attempt_id, token)

    def renew(self, attempt_id: str, token: str) -> bool:
        """Keep the lease; False means: stop, the job was cancelled.

        Raises:
            Unauthorized: The token is not this attempt's.
            Conflict: The attempt does not hold its job any more.
        """
        with write_session(self._engine) as session:
            attempt, job = _known(session, attempt_id, token)
            if job.state == "cancelled":
                return False
            _check_current(attempt, job)
            attempt.lease_expires_at = self._clock(session) + self._lease
            return True

    def report(self, attempt_id: str, token: str, batch: MeasurementBatch) -> None:
        """Add points to the curve, or write over those of the same name, split and step.

        Raises:
            Unauthorized: The token is not this attempt's.
            Conflict: The attempt does not hold its job any more.
        """
        with write_session(self._engine) as session:
            attempt, job = _known(session, attempt_id, token)
            _check_current(attempt, job)
            now = self._clock(session)
            _keep_measurements(session, attempt.id, batch.measurements)
            job.progress = batch.progress
            job.trained_tokens = batch.trained_tokens
            for step, values in _validated(batch).items():
                shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
                message = f"Step {step}: validation {shown}."
                data = {"step": step, **values}
                add_event(job, session=session, now=now, message=message, kind="metrics", data=data)

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
            attempt, job = _known(session, attempt_id, token)
            if attempt.outcome is not None:
                return
            _check_current(attempt, job)
            now = self._clock(session)
            attempt.outcome = outcome.model_dump(mode="json")
            attempt.device = device.model_dump(mode="json")
            _take_over(job, attempt, outcome)
            end_attempts(session, job, now=now)
            move: Move = "succeed" if outcome.state == "succeeded" else "fail"
            apply(job, move, session=session, now=now, message=_farewell(outcome, job))

    def lose(self, attempt_id: str, *, reason: str, code: str) -> bool:
        """Fail the job of an attempt that will not report; False where it had ended anyhow."""
        with write_session(self._engine) as session:
            attempt = session.get(AttemptRow, attempt_id)
            job = None if attempt is None else _locked_job(session, attempt)
            if attempt is None or job is None or attempt.ended_at is not None:
                return False
            now = self._clock(session)
            end_attempts(session, job, now=now)
            job.error_code, job.reason = code, reason
            apply(job, "fail", session=session, now=now, message=reason)
            return True

    def alive(self) -> frozenset[str]:
        """Return the attempts that are offered or running."""
        with read_session(self._engine) as session:
            query = select(AttemptRow.id).where(AttemptRow.ended_at.is_(None))
            return frozenset(session.scalars(query))

    def expired(self) -> list[str]:
        """Return the attempts whose lease has run out."""
        with read_session(self._engine) as session:
            query = select(AttemptRow.id).where(
                AttemptRow.ended_at.is_(None),
                AttemptRow.lease_expires_at < self._clock(session),
            )
            return list(session.scalars(query))

    def file_of(self, attempt_id: str, token: str, *, validation: bool) -> str | None:
        """Return the id of the file that an attempt learns from, or is validated on.

        Raises:
            Unauthorized: The token is not this attempt's.
            Conflict: The attempt does not hold its job any more.
        """
        with write_session(self._engine) as session:
            attempt, job = _known(session, attempt_id, token)
            _check_current(attempt, job)
            return job.validation_file if validation else job.training_file

    def _offer(self, session: Session, job: JobRow) -> Offer:
        now = self._clock(session)
        code = secrets.token_urlsafe(32)
        job.generation += 1
        attempt = AttemptRow(
            id=f"attempt-{secrets.token_hex(12)}",
            job_id=job.id,
            generation=job.generation,
            state="offered",
            claim_hash=_hash(code),
            lease_expires_at=now + self._lease,
            is_recorded=False,
            created_at=now,
        )
        session.add(attempt)
        return Offer(attempt_id=attempt.id, job_id=job.id, code=code)

    def _claim(self, session: Session, attempt: AttemptRow, job: JobRow) -> Held:
        now = self._clock(session)
        token = f"{attempt.generation}.{secrets.token_urlsafe(32)}"
        attempt.claim_hash, attempt.token_hash = None, _hash(token)
        attempt.state = "running"
        attempt.lease_expires_at = now + self._lease
        data = {"attempt": attempt.id, "generation": attempt.generation}
        message = "Started: a worker has claimed the job."
        apply(job, "start", session=session, now=now, message=message, data=data)
        return Held(attempt_id=attempt.id, token=token, job=job_of(job))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _locked_job(session: Session, attempt: AttemptRow) -> JobRow:
    """Lock the job first and look at its attempt anew, so that no two orders of locks meet."""
    job = find_job(session, attempt.job_id, lock=True)
    session.refresh(attempt)
    return job


def _known(session: Session, attempt_id: str, token: str) -> tuple[AttemptRow, JobRow]:
    """Return an attempt and its locked job to whoever has its token, current or not."""
    attempt = _authenticated(session, attempt_id, token)
    return attempt, _locked_job(session, attempt)


def _authenticated(session: Session, attempt_id: str, token: str) -> AttemptRow:
    attempt = session.get(AttemptRow, attempt_id)
    expected = "" if attempt is None else attempt.token_hash or ""
    if attempt is None or not hmac.compare_digest(expected, _hash(token)):
        raise Unauthorized(
            "The token is not of this attempt. Claim an attempt with its code to get one."
        )
    return attempt


def _check_current(attempt: AttemptRow, job: JobRow) -> None:
    if attempt.ended_at is not None or attempt.generation != job.generation:
        raise Conflict(
            f"Attempt {attempt.generation} does not hold its job any more, which is {job.state}: "
            "nothing was changed. Stop."
        )


def _unknown_code() -> Unauthorized:
    return Unauthorized(
        "The claim code is unknown or was used before: a code works once. Let the server start "
        "another attempt."
    )


def _keep_measurements(
    session: Session, attempt_id: str, measurements: tuple[Measurement, ...]
) -> None:
    keys = ("attempt_id", "split", "name", "step")
    rows = {
        (m.split, m.name, m.step): {"attempt_id": attempt_id, **m.model_dump()}
        for m in measurements
    }
    if not rows:
        return
    insert = _INSERTS[session.get_bind().dialect.name](MeasurementRow)
    upsert = insert.on_conflict_do_update(
        index_elements=keys, set_={"value": insert.excluded.value}
    )
    session.execute(upsert, list(rows.values()))


def _validated(batch: MeasurementBatch) -> dict[int, dict[str, float]]:
    """Return the validation values of a batch by step."""
    steps: dict[int, dict[str, float]] = {}
    for measurement in batch.measurements:
        if measurement.split == "validation":
            steps.setdefault(measurement.step, {})[measurement.name] = measurement.value
    return steps


def _take_over(job: JobRow, attempt: AttemptRow, outcome: Outcome) -> None:
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


def _farewell(outcome: Outcome, job: JobRow) -> str:
    if outcome.scores is None or outcome.state != "succeeded":
        return f"Ended as {outcome.state}: {job.reason}"
    gain = outcome.scores.gain(job.configuration["keep"])
    return f"Succeeded: {gain:+.4f} nats per token against the frozen base, on held-out examples."
