"""Runs as people look at them: filtered, sorted by anything, a page at a time; counted, streamed.

A page goes on from the last id of the one before, by the keyset (is empty, value, id), so that
nothing is skipped or shown twice whatever is added meanwhile. Empty values come last.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, and_, func, literal, or_, select
from sqlalchemy.orm import Session

from metadata.database import read_session
from metadata.errors import InvalidRequest
from metadata.history import LARGEST_PAGE, RUN_ID
from metadata.query import compile_filter, field_of
from metadata.records import Run
from metadata.run_rows import RunRow, run_of

ROWS_AT_ONCE = 500  # that a stream holds in memory
NEWEST = "-created_at"


@dataclass(frozen=True, kw_only=True)
class Found:
    """Some runs in order, without their curves; `last_id` is where the next page goes on."""

    runs: tuple[Run, ...]
    has_more: bool
    last_id: str | None


@dataclass(frozen=True, kw_only=True)
class View:
    """Which runs, in which order.

    Attributes:
        filter: In the language of `metadata.query`; "" is all.
        also: A further filter, apart so that errors point into the right one.
        sort: A field, the largest first with a leading `-`.
    """

    filter: str = ""
    also: str = ""
    sort: str = NEWEST


@dataclass(frozen=True)
class _Order:
    column: ColumnElement[Any]
    descending: bool

    def beyond(self, value: Any, run_id: str) -> ColumnElement[bool]:
        """Select what comes after a run: farther values, its equals by id, then empty ones."""
        further_id = RunRow.id < run_id if self.descending else RunRow.id > run_id
        if value is None:
            return and_(self.column.is_(None), further_id)
        bound = literal(value, self.column.type)  # typed: SQLAlchemy compares no bare True
        further = self.column < bound if self.descending else self.column > bound
        return or_(further, and_(self.column == bound, further_id), self.column.is_(None))


class Browser:
    """Looks at the runs of one database."""

    def __init__(self, engine: Engine) -> None:
        """Look at a database that `open_database` has opened."""
        self._engine = engine

    def page(self, view: View, *, limit: int = 20, after: str | None = None) -> Found:
        """Return up to `limit` runs of a view, from the one after `after`.

        Raises:
            InvalidRequest: A filter, sort, limit or `after` that cannot be; BadFilter says where.
        """
        if not 1 <= limit <= LARGEST_PAGE:
            raise InvalidRequest(
                f"limit is 1 to {LARGEST_PAGE:,}, got {limit}. Follow last_id for more.",
                param="limit",
            )
        order = _order_of(view.sort)
        query = _sorted(_filtered(select(RunRow), view), order)
        with read_session(self._engine) as session:
            if after is not None:
                query = query.where(order.beyond(_value_of(session, order, after), after))
            rows = session.scalars(query.limit(limit + 1)).all()
        runs = tuple(run_of(row) for row in rows[:limit])
        last_id = runs[-1].id if runs else None
        return Found(runs=runs, has_more=len(rows) > limit, last_id=last_id)

    def count(self, view: View) -> int:
        """Return how many runs a view has.

        Raises:
            BadFilter: The filter cannot be read.
        """
        query = _filtered(select(func.count()).select_from(RunRow), view)
        with read_session(self._engine) as session:
            return session.scalar(query) or 0

    def stream(self, view: View) -> Iterator[Run]:
        """Yield every run of a view in its order, without curves, some hundred at a time.

        Raises:
            InvalidRequest: The filter or the sort cannot be read.
        """
        query = _sorted(_filtered(select(RunRow), view), _order_of(view.sort))
        return self._stream(query.execution_options(yield_per=ROWS_AT_ONCE))

    def _stream(self, query: Select[Any]) -> Iterator[Run]:
        with read_session(self._engine) as session:
            for rows in session.scalars(query).partitions():
                yield from map(run_of, rows)

    def columns(self, view: View, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yield the id and some fields of every run of a view, without loading the runs.

        Raises:
            InvalidRequest: The filter, the sort or a name cannot be read.
        """
        chosen = [field_of(name, param="fields").sort_column() for name in names]
        query = _sorted(_filtered(select(RunRow.id, *chosen), view), _order_of(view.sort))
        query = query.execution_options(yield_per=ROWS_AT_ONCE)
        with read_session(self._engine) as session:
            for rows in session.execute(query).partitions():
                yield from (tuple(row) for row in rows)

    def some(self, run_ids: Sequence[str]) -> list[Run]:
        """Return the runs of some ids that are known, in the order of the ids, without curves."""
        known = [run_id for run_id in run_ids if RUN_ID.fullmatch(run_id)]
        with read_session(self._engine) as session:
            rows = session.scalars(select(RunRow).where(RunRow.id.in_(known))).all()
        by_id = {row.id: run_of(row) for row in rows}
        return [by_id[run_id] for run_id in known if run_id in by_id]


def _filtered(query: Select[Any], view: View) -> Select[Any]:
    for text in (view.filter, view.also):
        if text.strip():
            query = query.where(compile_filter(text))
    return query


def _order_of(sort: str) -> _Order:
    field = field_of(sort.removeprefix("-"), param="sort")
    return _Order(field.sort_column(), descending=sort.startswith("-"))


def _sorted(query: Select[Any], order: _Order) -> Select[Any]:
    keys = [order.column, RunRow.id.expression]
    if order.descending:
        keys = [key.desc() for key in keys]
    return query.order_by(keys[0].nulls_last(), keys[1])


def _value_of(session: Session, order: _Order, after: str) -> Any:
    row = None
    if RUN_ID.fullmatch(after):
        row = session.execute(select(order.column).where(RunRow.id == after)).one_or_none()
    if row is None:
        raise InvalidRequest(
            f"after is the last_id of the page before, got {after[:80]!r}, which no run has. "
            "Begin again without it.",
            param="after",
        )
    return row[0]
