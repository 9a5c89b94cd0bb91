"""The meta-dataset: every run that is known, in the database.

A run is added once and never changed; one that was deleted stays away. Lists are cut by a keyset
cursor: the last id of a page finds the next one, whatever was added in between.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args

from sqlalchemy import (
    ColumnElement,
    Engine,
    Insert,
    Select,
    and_,
    delete,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from metadata.database import INSERTS, read_session, write_session
from metadata.errors import InvalidRequest, NotFound
from metadata.notes import is_archived
from metadata.records import Measurement, Run, RunState
from metadata.run_rows import (
    FIGURES,
    RUN_ID,
    CurveChunk,
    DeletedRun,
    RunRow,
    check_text,
    columns,
    curve_rows,
    measurement_of,
    run_of,
)

LARGEST_PAGE = 1000
ROWS_AT_ONCE = 500  # rows that a stream holds in memory, ids that a query names

FILTERS: Mapping[str, InstrumentedAttribute[str]] = {
    "state": RunRow.state,
    "method": RunRow.method,
    "model": RunRow.model_id,
    "dataset": RunRow.dataset_name,
    "origin": RunRow.origin_source,
}


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some runs in order, without their curves; `last_id` is where the next page goes on."""

    runs: tuple[Run, ...]
    has_more: bool
    last_id: str | None


@dataclass(frozen=True, kw_only=True)
class _Order:
    """A column to sort by; its empty values come last in either direction."""

    column: InstrumentedAttribute[Any]
    descending: bool


class History:
    """The runs of one database."""

    def __init__(self, engine: Engine) -> None:
        """Look at a database that `open_database` has opened."""
        self._engine = engine

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
        with write_session(self._engine) as session:
            gone = _deleted(session, by_id)
            rows = [row for row in rows if row["id"] not in gone]
            if not rows:
                return 0
            added = session.scalars(self._insert_new(), rows).all()
            chunks = [chunk for run_id in added for chunk in curve_rows(by_id[run_id])]
            if chunks:
                session.execute(CurveChunk.__table__.insert(), chunks)  # type: ignore[attr-defined]
        return len(added)

    def get(self, run_id: str) -> Run:
        """Return one run with its curve.

        Raises:
            NotFound: No run has that id.
        """
        with read_session(self._engine) as session:
            row = _find(session, run_id)
            return run_of(row, _curve(session, run_id))

    def curve(self, run_id: str) -> tuple[Measurement, ...]:
        """Return the learning curve of one run, in the order it was measured.

        Raises:
            NotFound: No run has that id.
        """
        with read_session(self._engine) as session:
            _find(session, run_id)
            return _curve(session, run_id)

    def page(
        self,
        *,
        limit: int = 20,
        after: str | None = None,
        sort: str = "-created_at",
        **filters: str | None,
    ) -> Page:
        """Return up to `limit` runs in order, without their curves.

        Runs whose sorted value is empty, such as the score of a failed run, come last.

        Args:
            limit: 1 to 1,000.
            after: `last_id` of the page before.
            sort: A typed column; a leading `-` puts the largest first.
            filters: Values that must be equal, by the names in `FILTERS`; None asks nothing.

        Raises:
            InvalidRequest: A limit, sort, filter or `after` that is not known.
        """
        if not 1 <= limit <= LARGEST_PAGE:
            raise InvalidRequest(
                f"limit is 1 to {LARGEST_PAGE}, got {limit}. Follow last_id for more.",
                param="limit",
            )
        order = _order(sort)
        query = _sorted(select(RunRow).where(*_conditions(filters)), order)
        with read_session(self._engine) as session:
            if after is not None:
                query = query.where(_beyond(order, session, after))
            rows = session.scalars(query.limit(limit + 1)).all()
        runs = tuple(run_of(row) for row in rows[:limit])
        last_id = runs[-1].id if runs else None
        return Page(runs=runs, has_more=len(rows) > limit, last_id=last_id)

    def remove(self, run_id: str, *, now: datetime | None = None) -> None:
        """Delete a run for good, its curve and what is said of it too; its id stays known.

        Raises:
            NotFound: No run has that id.
        """
        with write_session(self._engine) as session:
            row = _find(session, run_id)
            session.execute(delete(RunRow).where(RunRow.id == row.id))
            session.add(DeletedRun(id=row.id, deleted_at=now or datetime.now(UTC)))

    def unknown(self, run_ids: Collection[str]) -> set[str]:
        """Return those ids that no run has and no deleted run had."""
        left = set(run_ids)
        with read_session(self._engine) as session:
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
        with read_session(self._engine) as session:
            for rows in session.scalars(query).partitions():
                for row in rows:
                    yield run_of(row)

    def count(self) -> int:
        """Return how many runs are known."""
        with read_session(self._engine) as session:
            return session.scalar(select(func.count()).select_from(RunRow)) or 0

    def _insert_new(self) -> Insert:
        insert = INSERTS[self._engine.dialect.name](RunRow)
        statement: Insert = insert.on_conflict_do_nothing().returning(RunRow.id)
        return statement


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


def _conditions(filters: Mapping[str, str | None]) -> list[ColumnElement[bool]]:
    asked = {name: value for name, value in filters.items() if value is not None}
    for name, value in asked.items():
        if name not in FILTERS:
            raise InvalidRequest(
                f"Runs cannot be filtered by {name[:80]!r}. Filter by {', '.join(FILTERS)}.",
                param=name,
            )
        _check_value(name, value)
    return [FILTERS[name] == value for name, value in asked.items()]


def _check_value(name: str, value: str) -> None:
    if name == "state" and value not in get_args(RunState):
        raise InvalidRequest(
            f"state is one of {', '.join(get_args(RunState))}, got {value[:80]!r}.", param=name
        )
    check_text(name, value)


def _order(sort: str) -> _Order:
    name = sort.removeprefix("-")
    if name not in FIGURES:
        raise InvalidRequest(
            f"Runs cannot be sorted by {sort[:80]!r}. Sort by one of {', '.join(FIGURES)}, "
            "with a leading - for the largest first.",
            param="sort",
        )
    return _Order(column=getattr(RunRow, name), descending=sort.startswith("-"))


def _sorted(query: Select[RunRow], order: _Order) -> Select[RunRow]:
    keys: list[ColumnElement[Any]] = [order.column.expression, RunRow.id.expression]
    if order.descending:
        keys = [key.desc() for key in keys]
    if order.column.expression.nullable:
        keys[0] = keys[0].nulls_last()
    return query.order_by(*keys)


def _beyond(order: _Order, session: Session, after: str) -> ColumnElement[bool]:
    """Select what comes after a run: farther values, its equals by id, then the empty ones."""
    value = getattr(_cursor(session, after), order.column.key)
    column = order.column
    further_id = RunRow.id < after if order.descending else RunRow.id > after
    if value is None:
        return and_(column.is_(None), further_id)
    bound = literal(value, column.type)  # typed: SQLAlchemy compares no bare True
    further = column < bound if order.descending else column > bound
    return or_(further, and_(column == bound, further_id), column.is_(None))


def _cursor(session: Session, after: str) -> RunRow:
    try:
        return _find(session, after)
    except NotFound:
        raise InvalidRequest(
            f"after is the last_id of the page before, got {after[:80]!r}, which no run has. "
            "Begin again without it.",
            param="after",
        ) from None
