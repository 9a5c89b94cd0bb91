"""The list of jobs as it changes: each reader is sent what differs from what it has seen."""

import secrets
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from metadata.errors import InvalidRequest
from service.jobs.states import FINAL, JobState
from service.live.messages import Batch, Gone, JobLine, Kind, Message
from service.tables import JobRow

SHOWN = 100  # the newest jobs; those that have not ended are shown however old
MOST = 1_000


@dataclass(frozen=True, kw_only=True)
class ListPosition:
    """How far a reader of the list is: of which board, and up to which change."""

    board: str = ""
    change: int = 0

    def __str__(self) -> str:
        """Return it as the id of an event."""
        return f"{self.board}-{self.change}"


def read_list_position(text: str | None) -> ListPosition:
    """Return the position that a reader sends back; the beginning where it sends none.

    Raises:
        InvalidRequest: It is not one of ours.
    """
    if not text:
        return ListPosition()
    board, dash, change = text.rpartition("-")
    if not (board.isalnum() and dash and change.isascii() and change.isdigit() and len(text) < 60):
        raise InvalidRequest(
            f"Last-Event-ID must be the id of an event of this stream, got {text[:80]!r}. "
            "Leave it out to be sent the whole list.",
            param="Last-Event-ID",
        )
    return ListPosition(board=board, change=int(change))


class Board:
    """The list as one process has seen it: its jobs, and the number of the change that made each.

    A reader that comes from another board, such as one of a server that was stopped, is sent all.
    """

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._name = secrets.token_hex(4)
        self._change = 0
        self._lines: dict[str, JobLine | Gone] = {}
        self._changed_by: dict[str, int] = {}

    def look(self, session: Session) -> int:
        """Look at the jobs, and return the number of the newest change."""
        lines = {line.job_id: line for line in _read(session)}
        news: list[JobLine | Gone] = [
            line for line in lines.values() if self._lines.get(line.job_id) != line
        ]
        news += [
            Gone(job_id=job_id)
            for job_id, line in self._lines.items()
            if job_id not in lines and not isinstance(line, Gone)
        ]
        for said in news:
            self._change += 1
            self._lines[said.job_id] = said
            self._changed_by[said.job_id] = self._change
        return self._change

    def changes(self, position: ListPosition) -> Batch:
        """Return what differs from what a reader has seen."""
        is_ours = position.board == self._name and position.change <= self._change
        since = position.change if is_ours else 0
        new = sorted((c, job_id) for job_id, c in self._changed_by.items() if c > since)
        messages = tuple(
            self._message(self._lines[job_id], ListPosition(board=self._name, change=change))
            for change, job_id in new
            if is_ours or not isinstance(self._lines[job_id], Gone)
        )
        place = ListPosition(board=self._name, change=self._change)
        return Batch(messages=messages, position=place, mark=self._change)

    def _message(self, line: JobLine | Gone, position: ListPosition) -> Message:
        kind: Kind = "gone" if isinstance(line, Gone) else "job"
        return Message(kind=kind, data=line, id=str(position))


def _read(session: Session) -> list[JobLine]:
    columns = JobRow.id, JobRow.state, JobRow.progress, JobRow.generation, JobRow.base_model
    newest = select(*columns).order_by(JobRow.created_at.desc(), JobRow.id.desc())
    under_way = newest.where(JobRow.state.not_in(FINAL)).limit(MOST)
    rows: dict[str, Any] = {}
    for query in (newest.limit(SHOWN), under_way):
        rows |= {row.id: row for row in session.execute(query)}
    return [
        JobLine(
            job_id=row.id,
            status=cast(JobState, row.state),
            progress=row.progress,
            attempts=row.generation,
            model=row.base_model,
        )
        for row in rows.values()
    ]
