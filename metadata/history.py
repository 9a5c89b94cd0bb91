"""The meta-dataset: every run that is known, in the database.

A run is added once and never changed; one that was deleted stays away. `metadata.browsing` looks
at runs in pages.
"""

from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime

from sqlalchemy import Engine, Insert, delete, func, select
from sqlalchemy.orm import Session

from metadata.database import INSERTS, read_session, write_session
from metadata.errors import NotFound
from metadata.notes import is_archived
from metadata.records import Measurement, Run
from metadata.run_rows import (
    RUN_ID,
    CurveChunk,
    DeletedRun,
    RunRow,
    columns,
    curve_rows,
    measurement_of,
    run_of,
)

ROWS_AT_ONCE = 500  # rows that a stream holds in memory, ids that a query names
ADDED_AT_ONCE = 100  # rows of one insert: telling which were new grows with their square


class History:
    """The runs of one database."""

    def __init__(self, engine: Engine) -> None:
        """Use a database that `open_database` has opened."""
        self.engine = engine

    def add(self, run: Run) -> bool:
        """Keep a run, curve and all; False, and nothing changed, where its id is or was known."""
        return self.add_many([run]) == 1

    def add_many(self, runs: Iterable[Run]) -> int:
        """Keep the runs whose ids are new, all in one transaction, and return how many.

        The id of a deleted run is not new: what was deleted comes back by no second import.

        Raises:
            InvalidRequest: A run holds what no database can store; then none is kept.
        """
        by_id: dict[str, Run] = {}
        for run in runs:
            by_id.setdefault(run.id, run)
        if not by_id:
            return 0
        # One order for everyone: two writers of the same ids then never wait for each other.
        rows = [columns(by_id[run_id]) for run_id in sorted(by_id)]
        with write_session(self.engine) as session:
            gone = _deleted(session, by_id)
            rows = [row for row in rows if row["id"] not in gone]
            if not rows:
                return 0
            added = [
                run_id
                for start in range(0, len(rows), ADDED_AT_ONCE)
                for run_id in session.scalars(
                    self._insert_new(), rows[start : start + ADDED_AT_ONCE]
                )
            ]
            chunks = [chunk for run_id in added for chunk in curve_rows(by_id[run_id])]
            if chunks:
                session.execute(CurveChunk.__table__.insert(), chunks)  # type: ignore[attr-defined]
        return len(added)

    def get(self, run_id: str) -> Run:
        """Return one run with its curve.

        Raises:
            NotFound: No run has that id.
        """
        with read_session(self.engine) as session:
            row = _find(session, run_id)
            return run_of(row, _curve(session, run_id))

    def curve(self, run_id: str) -> tuple[Measurement, ...]:
        """Return the learning curve of one run, in the order it was measured.

        Raises:
            NotFound: No run has that id.
        """
        with read_session(self.engine) as session:
            _find(session, run_id)
            return _curve(session, run_id)

    def remove(self, run_id: str, *, now: datetime | None = None) -> None:
        """Delete a run for good, its curve and what is said of it too; its id stays known.

        Raises:
            NotFound: No run has that id.
        """
        with write_session(self.engine) as session:
            row = _find(session, run_id)
            session.execute(delete(RunRow).where(RunRow.id == row.id))
            session.add(DeletedRun(id=row.id, deleted_at=now or datetime.now(UTC)))

    def unknown(self, run_ids: Collection[str]) -> set[str]:
        """Return those ids that no run has and no deleted run had."""
        left = set(run_ids)
        with read_session(self.engine) as session:
            for some in _chunks(run_ids):
                left -= set(session.scalars(select(RunRow.id).where(RunRow.id.in_(some))))
            return left - _deleted(session, left)

    def stream(self, *, with_archived: bool = True) -> Iterator[Run]:
        """Yield every run in the order of ids, without curves and without holding all of them.

        Without the archived ones it is the evidence: what surrogates learn from.
        """
        query = select(RunRow).order_by(RunRow.id).execution_options(yield_per=ROWS_AT_ONCE)
        if not with_archived:
            query = query.where(~is_archived())
        with read_session(self.engine) as session:
            for rows in session.scalars(query).partitions():
                for row in rows:
                    yield run_of(row)

    def count(self) -> int:
        """Return how many runs are known."""
        with read_session(self.engine) as session:
            return session.scalar(select(func.count()).select_from(RunRow)) or 0

    def _insert_new(self) -> Insert:
        insert = INSERTS[self.engine.dialect.name](RunRow)
        statement: Insert = insert.on_conflict_do_nothing().returning(RunRow.id)
        return statement.execution_options(render_nulls=True)  # else a statement per set of nulls


def _deleted(session: Session, run_ids: Collection[str]) -> set[str]:
    return {
        run_id
        for some in _chunks(run_ids)
        for run_id in session.scalars(select(DeletedRun.id).where(DeletedRun.id.in_(some)))
    }


def _chunks(run_ids: Collection[str]) -> Iterator[list[str]]:
    ordered = sorted(run_ids)
    for start in range(0, len(ordered), ROWS_AT_ONCE):
        yield ordered[start : start + ROWS_AT_ONCE]


def _find(session: Session, run_id: str) -> RunRow:
    row = session.get(RunRow, run_id) if RUN_ID.fullmatch(run_id) else None
    if row is None:
        raise NotFound(f"No run has the id {run_id[:80]!r}. List the runs to see which there are.")
    return row


def _curve(session: Session, run_id: str) -> tuple[Measurement, ...]:
    chunks = select(CurveChunk.points).where(CurveChunk.run_id == run_id).order_by(CurveChunk.chunk)
    return tuple(measurement_of(point) for points in session.scalars(chunks) for point in points)
