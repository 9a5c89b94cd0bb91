"""What is new about jobs, read from the database and from what their attempts print."""

import codecs
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, and_, not_, or_, select
from sqlalchemy.orm import Session

from metadata.records import Measurement, Record
from service.jobs.logs import LogStore
from service.jobs.records import event_of
from service.jobs.schemas import event_answer
from service.jobs.states import FINAL, JobState
from service.live.messages import Batch, End, Kind, LogPiece, Message, Points, Progress
from service.live.positions import Position
from service.tables import AttemptRow, EventRow, JobRow, MeasurementRow

EVENTS_AT_ONCE = 200
POINTS_AT_ONCE = 1_000
LOG_BYTES_AT_ONCE = 65_536
_IDS_AT_ONCE = 500

_NEWEST = and_(AttemptRow.job_id == JobRow.id, AttemptRow.generation == JobRow.generation)
_LOOK = select(
    JobRow.id,
    JobRow.state,
    JobRow.progress,
    JobRow.trained_tokens,
    JobRow.last_event,
    JobRow.generation,
    AttemptRow.id.label("attempt_id"),
    AttemptRow.last_batch,
).outerjoin(AttemptRow, _NEWEST)


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How a job looks from afar: while it stays the same, nothing is new."""

    progress: Progress
    event: int
    report: int
    log_bytes: int

    @property
    def has_ended(self) -> bool:
        """Say whether nothing will be new any more."""
        return self.progress.status in FINAL


def look(session: Session, logs: LogStore, job_ids: Collection[str]) -> dict[str, Mark]:
    """Return how jobs look now; those that are not there are left out."""
    marks: dict[str, Mark] = {}
    ordered = sorted(job_ids)
    for start in range(0, len(ordered), _IDS_AT_ONCE):
        rows = session.execute(_LOOK.where(JobRow.id.in_(ordered[start : start + _IDS_AT_ONCE])))
        marks |= {row.id: _mark(row, logs) for row in rows}
    return marks


def changes(
    session: Session, logs: LogStore, job_id: str, position: Position, *, mark: Mark, seen: Any
) -> Batch:
    """Return what a reader at a position was not sent: a part of it where that is much.

    Args:
        session: Sees what was there when `mark` was taken, or more.
        logs: What attempts printed.
        job_id: A job that is there.
        position: Of the reader.
        mark: How the job looks.
        seen: How it looked when the reader was served last, None at first.
    """
    news = _News(position)
    is_whole = _read_events(session, job_id, news) and _read_attempts(session, logs, job_id, news)
    if seen is None or seen.progress != mark.progress:
        news.add("progress", mark.progress, news.position)
    is_last = is_whole and mark.has_ended
    if is_last:
        news.add("end", End(status=mark.progress.status), news.position)
    return Batch(
        messages=tuple(news.messages),
        position=news.position,
        mark=mark if is_whole else None,
        is_last=is_last,
    )


def deleted(position: Position) -> Batch:
    """Return the end of a job that is not there any more."""
    end = Message(kind="end", data=End(status=None), id=str(position))
    return Batch(messages=(end,), position=position, mark=None, is_last=True)


class _News:
    """Messages, and the position after the last of them."""

    def __init__(self, position: Position) -> None:
        self.messages: list[Message] = []
        self.position = position

    def add(self, kind: Kind, data: Record, position: Position) -> None:
        self.position = position
        self.messages.append(Message(kind=kind, data=data, id=str(position)))


def _read_events(session: Session, job_id: str, news: _News) -> bool:
    """Add the events that follow; say whether those were all."""
    query = (
        select(EventRow)
        .where(EventRow.job_id == job_id, EventRow.number > news.position.event)
        .order_by(EventRow.number)
        .limit(EVENTS_AT_ONCE)
    )
    rows = session.scalars(query).all()
    for row in rows:
        news.add("event", event_answer(event_of(row)), news.position.past_event(row.number))
    return len(rows) < EVENTS_AT_ONCE


def _read_attempts(session: Session, logs: LogStore, job_id: str, news: _News) -> bool:
    """Add points and log of the attempt that was reached and of later ones, in order."""
    query = (
        select(AttemptRow.id, AttemptRow.generation)
        .where(AttemptRow.job_id == job_id, AttemptRow.generation >= news.position.attempt)
        .order_by(AttemptRow.generation)
    )
    for attempt_id, generation in session.execute(query).all():
        news.position = news.position.at_attempt(generation)
        is_whole = _read_points(session, attempt_id, news) and _read_log(logs, attempt_id, news)
        if not is_whole:
            return False
    return True


def _read_points(session: Session, attempt_id: str, news: _News) -> bool:
    place = news.position
    query = (
        select(MeasurementRow)
        .where(MeasurementRow.attempt_id == attempt_id, _is_after(place.steps))
        .order_by(MeasurementRow.step, MeasurementRow.split, MeasurementRow.name)
        .limit(POINTS_AT_ONCE)
    )
    points = tuple(_points(session.scalars(query).all()))
    if points:
        data = Points(attempt=place.attempt, data=points)
        news.add("points", data, place.past_points(points))
    return len(points) < POINTS_AT_ONCE


def _points(rows: Sequence[MeasurementRow]) -> Iterator[Measurement]:
    for row in rows:
        yield Measurement.model_validate(
            {"name": row.name, "step": row.step, "value": row.value, "split": row.split}
        )


def _is_after(steps: Any) -> ColumnElement[bool]:
    """Say in SQL that a point is later than the newest of its series, or of none of them."""
    series = [
        (and_(MeasurementRow.split == split, MeasurementRow.name == name), step)
        for (split, _, name), step in ((key.partition("/"), step) for key, step in steps.items())
    ]
    if not series:
        return MeasurementRow.step >= 0
    later = (and_(one, MeasurementRow.step > step) for one, step in series)
    return or_(*later, not_(or_(*(one for one, _ in series))))


def _read_log(logs: LogStore, attempt_id: str, news: _News) -> bool:
    """Add what follows of a log; half a character waits for its other half."""
    place = news.position
    piece = logs.piece(attempt_id, offset=place.log, most_bytes=LOG_BYTES_AT_ONCE)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    text = decoder.decode(piece)
    length = len(piece) - len(decoder.getstate()[0])
    if text:
        data = LogPiece(attempt=place.attempt, offset=place.log, text=text)
        news.add("log", data, place.past_log(place.log + length))
    return len(piece) < LOG_BYTES_AT_ONCE


def _mark(row: Any, logs: LogStore) -> Mark:
    return Mark(
        progress=Progress(
            status=cast(JobState, row.state),
            progress=row.progress,
            trained_tokens=row.trained_tokens,
            attempts=row.generation,
        ),
        event=row.last_event,
        report=row.last_batch or 0,
        log_bytes=0 if row.attempt_id is None else logs.size(row.attempt_id),
    )
