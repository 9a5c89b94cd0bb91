"""The one who looks: what is new for all streams of a process, read once for each of its kind."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from metadata.database import read_session
from service.jobs.logs import LogStore
from service.live.job_changes import changes, deleted, look
from service.live.job_list import Board
from service.live.messages import Batch

ALL_JOBS = ""  # the topic of the list, beside the ids of jobs


@dataclass(frozen=True)
class Place:
    """What a stream is about, where its reader is, and how the topic looked then."""

    topic: str
    position: Any
    mark: Any = None


class Read(Protocol):
    """Says what is new."""

    def __call__(self, places: Sequence[Place]) -> Sequence[Batch | None]:
        """Return what is new at each place, None where nothing is."""


class Reader:
    """Reads a database and the logs beside it; one thread at a time."""

    def __init__(self, engine: Engine, logs: LogStore) -> None:
        """Look at a database that `open_database` has opened."""
        self._engine = engine
        self._logs = logs
        self._board = Board()

    def __call__(self, places: Sequence[Place]) -> Sequence[Batch | None]:
        """Return what is new at each place; places that are alike are read once."""
        with read_session(self._engine) as session:
            marks = self._look(session, {place.topic for place in places})
            session.rollback()  # what is read below is at least as new as the marks
            read: dict[tuple[str, str, Any], Batch] = {}
            found: list[Batch | None] = []
            for place in places:
                mark = marks.get(place.topic)
                if place.mark is not None and place.mark == mark:
                    found.append(None)
                    continue
                key = (place.topic, str(place.position), place.mark)
                if key not in read:
                    read[key] = self._read(session, place, mark)
                found.append(read[key])
            return found

    def _look(self, session: Session, topics: set[str]) -> dict[str, Any]:
        marks: dict[str, Any] = dict(look(session, self._logs, topics - {ALL_JOBS}))
        if ALL_JOBS in topics:
            marks[ALL_JOBS] = self._board.look(session)
        return marks

    def _read(self, session: Session, place: Place, mark: Any) -> Batch:
        if place.topic == ALL_JOBS:
            return self._board.changes(place.position)
        if mark is None:
            return deleted(place.position)
        return changes(session, self._logs, place.topic, place.position, mark=mark, seen=place.mark)
