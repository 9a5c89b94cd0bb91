"""The queue of jobs: submit, read, pause, resume, cancel, delete.

`attempts` is what workers do to them, `losses` what becomes of them when workers are lost. The
truth about a job stands here, whatever an engine that runs it may say.
"""

import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from sqlalchemy import Engine, String, and_, cast, delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from metadata.database import read_session, write_session
from metadata.errors import Conflict, InvalidRequest, NotFound, OverQuota
from metadata.records import Measurement
from service.jobs.idempotency import OrderKey, find_order, forget_old_keys, keep_order
from service.jobs.records import (
    Checkpoint,
    EventPage,
    Job,
    JobPage,
    Order,
    checkpoint_of,
    event_of,
    job_of,
    row_of,
)
from service.jobs.states import FINAL, Move, add_event, apply
from service.tables import AttemptRow, CheckpointRow, EventRow, JobRow, MeasurementRow

LARGEST_PAGE = 100
Clock = Callable[[Session], datetime]


def database_time(session: Session) -> datetime:
    """Return the time by the database's clock, the one clock that all servers share.

    PostgreSQL's `now()` stands still in a transaction, so its `clock_timestamp()` is asked;
    SQLite lives in this process and shares its clock.
    """
    if session.get_bind().dialect.name == "postgresql":
        moment: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
        return moment
    return datetime.now(UTC)


class Queue:
    """Jobs of one database."""

    def __init__(
        self, engine: Engine, *, live_jobs: int = 1000, clock: Clock = database_time
    ) -> None:
        """Look at a database that `open_database` has opened.

        Args:
            engine: The database.
            live_jobs: How many jobs that have not ended a caller may have.
            clock: Tells the time in a transaction.
        """
        self._engine = engine
        self._live_jobs = live_jobs
        self._clock = clock

    def submit(self, order: Order, *, key: OrderKey | None = None) -> Job:
        """Add a job to the queue, or return the one that the same key has ordered before.

        Raises:
            OverQuota: The caller has as many jobs under way as it may.
            InvalidRequest: The key came with another order.
        """
        try:
            with write_session(self._engine) as session:
                return self._submit(session, order, key)
        except IntegrityError:  # the same key in another transaction, which has won
            if key is None or (job := self.ordered(key)) is None:
                raise
            return job

    def ordered(self, key: OrderKey) -> Job | None:
        """Return the job that a key has ordered before, or None.

        Raises:
            InvalidRequest: The key came with another order.
            Conflict: Its job was deleted.
        """
        with read_session(self._engine) as session:
            return _ordered(session, key, now=self._clock(session))

    def get(self, job_id: str) -> Job:
        """Return a job with the curve of its newest attempt.

        Raises:
            NotFound: There is no such job.
        """
        with read_session(self._engine) as session:
            row = find_job(session, job_id)
            return job_of(row, _curve(session, row))

    def page(
        self,
        *,
        limit: int = 20,
        after: str | None = None,
        labels: Mapping[str, str] | None = None,
        state: str | None = None,
    ) -> JobPage:
        """Return jobs without curves, newest first, from the one after `after`.

        Args:
            limit: How many at most.
            after: The last id of the page before.
            labels: Only jobs with all of these; an empty one only jobs without any.
            state: Only jobs in this state.

        Raises:
            InvalidRequest: `limit` is not 1 to 100.
            NotFound: There is no job `after`.
        """
        check_limit(limit)
        query = select(JobRow).order_by(JobRow.created_at.desc(), JobRow.id.desc())
        if labels is not None and not labels:
            query = query.where(cast(JobRow.labels, String) == "{}")
        if state is not None:
            query = query.where(JobRow.state == state)
        for name, value in (labels or {}).items():
            query = query.where(JobRow.labels[name].as_string() == value)
        with read_session(self._engine) as session:
            if after is not None:
                last = find_job(session, after, param="after")
                same_time = and_(JobRow.created_at == last.created_at, JobRow.id < last.id)
                query = query.where(or_(JobRow.created_at < last.created_at, same_time))
            rows = session.scalars(query.limit(limit + 1)).all()
            jobs = tuple(job_of(row) for row in rows[:limit])
            return JobPage(jobs=jobs, has_more=len(rows) > limit)

    def events(self, job_id: str, *, limit: int = 20, before: int | None = None) -> EventPage:
        """Return a job's events, newest first, from the one before number `before`.

        Raises:
            InvalidRequest: `limit` is not 1 to 100.
            NotFound: There is no such job.
        """
        check_limit(limit)
        query = select(EventRow).where(EventRow.job_id == job_id).order_by(EventRow.number.desc())
        if before is not None:
            query = query.where(EventRow.number < before)
        with read_session(self._engine) as session:
            find_job(session, job_id)
            rows = session.scalars(query.limit(limit + 1)).all()
            events = tuple(event_of(row) for row in rows[:limit])
            return EventPage(events=events, has_more=len(rows) > limit)

    def checkpoints(self, job_id: str) -> tuple[Checkpoint, ...]:
        """Return what a job's attempts have reported as kept, newest first.

        Raises:
            NotFound: There is no such job.
        """
        newest = CheckpointRow.step.desc(), CheckpointRow.created_at.desc()
        query = select(CheckpointRow).where(CheckpointRow.job_id == job_id).order_by(*newest)
        with read_session(self._engine) as session:
            find_job(session, job_id)
            return tuple(checkpoint_of(row) for row in session.scalars(query))

    def succeeded(self) -> tuple[Job, ...]:
        """Return the jobs that have made a model, newest first."""
        query = select(JobRow).where(JobRow.state == "succeeded").order_by(JobRow.created_at.desc())
        with read_session(self._engine) as session:
            return tuple(job_of(row) for row in session.scalars(query))

    def cancel(self, job_id: str) -> Job:
        """End a job for good; its attempt is refused from now on.

        Raises:
            NotFound: There is no such job.
            Conflict: It has ended.
        """
        with write_session(self._engine) as session:
            row = find_job(session, job_id, lock=True)
            now = self._clock(session)
            apply(row, "cancel", session=session, now=now, message="Cancelled.")
            end_attempts(session, row, now=now)
            return job_of(row, _curve(session, row))

    def pause(self, job_id: str) -> Job:
        """Let a job rest; what trains for it writes a checkpoint and stops.

        Raises:
            NotFound: There is no such job.
            Conflict: It has ended, or rests already.
        """
        return self._move(job_id, "pause", "Paused.")

    def resume(self, job_id: str) -> Job:
        """Put a job that rests back into the queue; its lost tries are forgotten.

        Raises:
            NotFound: There is no such job.
            Conflict: It does not rest.
        """
        return self._move(job_id, "resume", "Resumed: queued again.")

    def delete(self, job_id: str) -> tuple[str, ...]:
        """Forget a job that has ended, and return its attempts; its run stays in the history.

        Raises:
            NotFound: There is no such job.
            Conflict: It has not ended, or its run is not in the history yet.
        """
        with write_session(self._engine) as session:
            row = find_job(session, job_id, lock=True)
            if row.state not in FINAL:
                raise Conflict(f"A job that is {row.state} cannot be deleted. Cancel it first.")
            attempts = session.scalars(select(AttemptRow).where(AttemptRow.job_id == job_id)).all()
            if any(attempt.outcome and not attempt.is_recorded for attempt in attempts):
                raise Conflict("The job's run is on its way to the history. Delete it in a moment.")
            ids = tuple(attempt.id for attempt in attempts)
            session.execute(delete(MeasurementRow).where(MeasurementRow.attempt_id.in_(ids)))
            for table in (EventRow, CheckpointRow, AttemptRow):
                session.execute(delete(table).where(table.job_id == job_id))
            session.delete(row)
            return ids

    def attempts_of(self, job_id: str) -> tuple[str, ...]:
        """Return the ids of a job's attempts, the newest last.

        Raises:
            NotFound: There is no such job.
        """
        order = AttemptRow.generation
        query = select(AttemptRow.id).where(AttemptRow.job_id == job_id).order_by(order)
        with read_session(self._engine) as session:
            find_job(session, job_id)
            return tuple(session.scalars(query))

    def uses_file(self, file_id: str) -> str | None:
        """Return the id of a job that still needs a file, or None."""
        query = select(JobRow.id).where(
            JobRow.state.not_in(FINAL),
            or_(JobRow.training_file == file_id, JobRow.validation_file == file_id),
        )
        with read_session(self._engine) as session:
            return session.scalars(query.limit(1)).first()

    def _submit(self, session: Session, order: Order, key: OrderKey | None) -> Job:
        now = self._clock(session)
        if key is not None:
            forget_old_keys(session, now=now)
            if (known := _ordered(session, key, now=now)) is not None:
                return known
        self._check_quota(session, order.owner)
        row = row_of(order, job_id=f"ftjob-{secrets.token_hex(12)}", now=now)
        session.add(row)
        if key is not None:
            keep_order(session, key, job_id=row.id, now=now)
        session.flush()
        message = f"Queued: {order.configuration.method.name} on {order.model.id}."
        add_event(row, session=session, now=now, message=message, data={"state": "queued"})
        for warning in order.warnings:
            add_event(row, session=session, now=now, message=warning, level="warn")
        return job_of(row)

    def _check_quota(self, session: Session, owner: str) -> None:
        if session.get_bind().dialect.name == "postgresql":  # SQLite has one writer anyhow
            session.execute(select(func.pg_advisory_xact_lock(func.hashtext(owner))))
        mine = JobRow.owner == owner, JobRow.state.not_in(FINAL)
        count = session.scalars(select(func.count()).select_from(JobRow).where(*mine)).one()
        if count >= self._live_jobs:
            raise OverQuota(
                f"A caller may have {self._live_jobs:,} jobs that have not ended, you have "
                f"{count:,}. Wait until some end, cancel some, or raise PEFTWISE_LIVE_JOBS."
            )

    def _move(self, job_id: str, move: Move, message: str) -> Job:
        with write_session(self._engine) as session:
            row = find_job(session, job_id, lock=True)
            apply(row, move, session=session, now=self._clock(session), message=message)
            if move == "resume":
                row.retries, row.not_before = 0, None
            return job_of(row, _curve(session, row))


def find_job(session: Session, job_id: str, *, param: str = "id", lock: bool = False) -> JobRow:
    """Return the row of a job, locked until the transaction ends where asked."""
    query = select(JobRow).where(JobRow.id == job_id)
    row = session.scalars(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound(
            f"No job has the id {job_id[:80]!r}. List them with GET /v1/fine_tuning/jobs.",
            param=param,
        )
    return row


def end_attempts(session: Session, job: JobRow, *, now: datetime) -> None:
    """End what still tries a job whose row is locked; its token is good for nothing any more."""
    alive = AttemptRow.job_id == job.id, AttemptRow.ended_at.is_(None)
    ended = {"state": "ended", "ended_at": now, "claim_hash": None}
    session.execute(update(AttemptRow).where(*alive).values(ended))


def check_limit(limit: int) -> None:
    """Refuse a page of another size than 1 to 100."""
    if not 1 <= limit <= LARGEST_PAGE:
        raise InvalidRequest(
            f"limit is 1 to {LARGEST_PAGE}, got {limit}. Follow the cursor for more.", param="limit"
        )


def curve_of(session: Session, attempt_id: str) -> tuple[Measurement, ...]:
    """Return the measurements of an attempt by step."""
    order = (MeasurementRow.step, MeasurementRow.split, MeasurementRow.name)
    query = select(MeasurementRow).where(MeasurementRow.attempt_id == attempt_id).order_by(*order)
    return tuple(
        Measurement.model_validate(
            {"name": row.name, "step": row.step, "value": row.value, "split": row.split}
        )
        for row in session.scalars(query)
    )


def _ordered(session: Session, key: OrderKey, *, now: datetime) -> Job | None:
    job_id = find_order(session, key, now=now)
    if job_id is None:
        return None
    row = session.get(JobRow, job_id)
    if row is None:
        raise Conflict(
            f"The order of this idempotency key became {job_id}, which was deleted. "
            "Send a new order under a new key."
        )
    return job_of(row, _curve(session, row))


def _curve(session: Session, job: JobRow) -> tuple[Measurement, ...]:
    query = select(AttemptRow.id).where(
        AttemptRow.job_id == job.id, AttemptRow.generation == job.generation
    )
    attempt_id = session.scalars(query).one_or_none()
    return () if attempt_id is None else curve_of(session, attempt_id)
