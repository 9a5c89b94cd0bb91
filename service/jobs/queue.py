"""The queue of jobs: submit, read, cancel. `attempts` is what workers do to them.

The truth about a job stands here, whatever an engine that runs it may say.
"""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Engine, and_, func, or_, select, update
from sqlalchemy.orm import Session

from metadata.database import read_session, write_session
from metadata.errors import InvalidRequest, NotFound
from metadata.records import Measurement
from service.jobs.records import (
    EventPage,
    Job,
    JobPage,
    Order,
    event_of,
    job_of,
    row_of,
)
from service.jobs.states import FINAL, add_event, apply
from service.tables import AttemptRow, EventRow, JobRow, MeasurementRow

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

    def __init__(self, engine: Engine, *, clock: Clock = database_time) -> None:
        """Look at a database that `open_database` has opened."""
        self._engine = engine
        self._clock = clock

    def submit(self, order: Order) -> Job:
        """Add a job to the end of the queue."""
        with write_session(self._engine) as session:
            now = self._clock(session)
            row = row_of(order, job_id=f"ftjob-{secrets.token_hex(12)}", now=now)
            session.add(row)
            session.flush()
            message = f"Queued: {order.configuration.method.name} on {order.model.id}."
            add_event(row, session=session, now=now, message=message, data={"state": "queued"})
            return job_of(row)

    def get(self, job_id: str) -> Job:
        """Return a job with the curve of its newest attempt.

        Raises:
            NotFound: There is no such job.
        """
        with read_session(self._engine) as session:
            row = find_job(session, job_id)
            return job_of(row, _curve(session, row))

    def page(self, *, limit: int = 20, after: str | None = None) -> JobPage:
        """Return jobs without curves, newest first, from the one after `after`.

        Raises:
            InvalidRequest: `limit` is not 1 to 100.
            NotFound: There is no job `after`.
        """
        check_limit(limit)
        query = select(JobRow).order_by(JobRow.created_at.desc(), JobRow.id.desc())
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

    def uses_file(self, file_id: str) -> str | None:
        """Return the id of a job that still needs a file, or None."""
        query = select(JobRow.id).where(
            JobRow.state.not_in(FINAL),
            or_(JobRow.training_file == file_id, JobRow.validation_file == file_id),
        )
        with read_session(self._engine) as session:
            return session.scalars(query.limit(1)).first()


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


def _curve(session: Session, job: JobRow) -> tuple[Measurement, ...]:
    query = select(AttemptRow.id).where(
        AttemptRow.job_id == job.id, AttemptRow.generation == job.generation
    )
    attempt_id = session.scalars(query).one_or_none()
    return () if attempt_id is None else curve_of(session, attempt_id)
