"""Runs as people look at them: filtered, sorted by anything, a page at a time; counted, streamed.

A page goes on from the last id of the one before, by the keyset (is empty, value, id), so that
nothing is skipped or shown twice whatever is added meanwhile. Empty values come last. Archived
runs are out of sight unless the filter names the field `archived`.

Ids are found and sorted first, and their rows, of which JSON is the larger part, read after.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, and_, func, literal, or_, select, tuple_
from sqlalchemy.orm import Session

from metadata.database import read_session
from metadata.errors import InvalidRequest
from metadata.history import LARGEST_PAGE
from metadata.notes import NOTHING_SAID, Note, is_archived, notes_of
from metadata.query import ARCHIVED, compile_filter, field_of, named_fields
from metadata.query.fields import Field
from metadata.records import Run
from metadata.run_rows import RUN_ID, RunRow, run_of

ROWS_AT_ONCE = 500  # that a stream holds in memory
NEWEST = "-created_at"


@dataclass(frozen=True, kw_only=True)
class Found:
    """Some runs in order, without their curves; `last_id` is where the next page goes on.

    `notes` holds what is said of them, by id, of those of which something is.
    """

    runs: tuple[Run, ...]
    has_more: bool
    last_id: str | None
    notes: Mapping[str, Note] = field(default_factory=dict)

    def note(self, run_id: str) -> Note:
        """Return what is said of one of the runs."""
        return self.notes.get(run_id, NOTHING_SAID)


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
class _Part:
    """A stretch of an order: which runs, and the keys that sort them."""

    where: tuple[ColumnElement[bool], ...]
    keys: tuple[ColumnElement[Any], ...]


@dataclass(frozen=True)
class _Order:
    field: Field
    descending: bool

    @property
    def column(self) -> ColumnElement[Any]:
        return self.field.sort_column()

    def parts(self, place: tuple[Any, str] | None) -> list[_Part]:
        """Return the stretches beyond a place (value, id), or all of them.

        Values of a column and its empty ones stand apart, so that an index finds either; both
        databases read them otherwise. What is computed has no index: it is sorted in one go.
        """
        if self.field.is_typed and self.field.can_be_empty:
            empty = _Part(self._empty(place), self.keys(RunRow.id.expression))
            is_among_empty = place is not None and place[0] is None
            return [empty] if is_among_empty else [self._valued(place), empty]
        if self.field.is_typed:
            return [_Part(self._beyond(place), self.keys(self.column, RunRow.id.expression))]
        keys = self.keys(self.column, RunRow.id.expression)
        return [_Part(self._computed_beyond(place), (keys[0].nulls_last(), keys[1]))]

    def keys(self, *columns: ColumnElement[Any]) -> tuple[ColumnElement[Any], ...]:
        """Return what sorts by some columns in this direction."""
        return tuple(column.desc() for column in columns) if self.descending else columns

    def _valued(self, place: tuple[Any, str] | None) -> _Part:
        keys = self.keys(self.column, RunRow.id.expression)
        return _Part((self.column.is_not(None), *self._beyond(place)), keys)

    def _empty(self, place: tuple[Any, str] | None) -> tuple[ColumnElement[bool], ...]:
        is_empty = self.column.is_(None)
        if place is None or place[0] is not None:
            return (is_empty,)
        return is_empty, self._further(RunRow.id.expression, place[1])

    def _beyond(self, place: tuple[Any, str] | None) -> tuple[ColumnElement[bool], ...]:
        if place is None:
            return ()
        value = literal(place[0], self.column.type)  # typed: SQLAlchemy compares no bare True
        keys = tuple_(self.column, RunRow.id.expression)
        bounds = tuple_(value, literal(place[1], RunRow.id.type))
        return (keys < bounds if self.descending else keys > bounds,)

    def _computed_beyond(self, place: tuple[Any, str] | None) -> tuple[ColumnElement[bool], ...]:
        if place is None:
            return ()
        value, run_id = place
        further_id = self._further(RunRow.id.expression, run_id)
        if value is None:
            return (and_(self.column.is_(None), further_id),)
        bound = literal(value, self.column.type)
        equal = and_(self.column == bound, further_id)
        return (or_(self._further(self.column, bound), equal, self.column.is_(None)),)

    def _further(self, column: ColumnElement[Any], bound: Any) -> ColumnElement[bool]:
        further: ColumnElement[bool] = column < bound if self.descending else column > bound
        return further


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
        with read_session(self._engine) as session:
            place = None if after is None else (_value_of(session, order, after), after)
            ids: list[str] = []
            for query in _id_queries(view, order, place):
                if len(ids) <= limit:
                    ids += session.scalars(query.limit(limit + 1 - len(ids)))
            rows = rows_of(session, ids[:limit])
            notes = notes_of(session, ids[:limit])
        runs = tuple(run_of(row) for row in rows)
        last_id = ids[:limit][-1] if ids else None
        return Found(runs=runs, has_more=len(ids) > limit, last_id=last_id, notes=notes)

    def count(self, view: View) -> int:
        """Return how many runs a view has.

        Raises:
            BadFilter: The filter cannot be read.
        """
        query = filtered(select(func.count()).select_from(RunRow), view)
        with read_session(self._engine) as session:
            return session.scalar(query) or 0

    def stream(self, view: View) -> Iterator[Run]:
        """Yield every run of a view in its order, without curves, some hundred at a time.

        Raises:
            InvalidRequest: The filter or the sort cannot be read.
        """
        queries = _id_queries(view, _order_of(view.sort), None)
        return self._stream(queries)

    def _stream(self, queries: Sequence[Select[Any]]) -> Iterator[Run]:
        with read_session(self._engine) as session:
            for ids in _batches(session, queries):
                yield from map(run_of, rows_of(session, ids))

    def batches(self, view: View) -> Iterator[tuple[Session, list[str]]]:
        """Yield the ids of a view in its order, some hundred at a time, and a session to read by.

        Raises:
            InvalidRequest: The filter or the sort cannot be read.
        """
        queries = _id_queries(view, _order_of(view.sort), None)
        return self._sessions(queries)

    def _sessions(self, queries: Sequence[Select[Any]]) -> Iterator[tuple[Session, list[str]]]:
        with read_session(self._engine) as session:
            for ids in _batches(session, queries):
                yield session, ids

    def columns(
        self, view: View, names: Sequence[str], *, in_order: bool = True
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the id and some fields of every run of a view, without loading the runs.

        Raises:
            InvalidRequest: The filter, the sort or a name cannot be read.
        """
        chosen = [field_of(name, param="fields").sort_column() for name in names]
        query = filtered(select(RunRow.id, *chosen), view)
        if in_order:
            order = _order_of(view.sort)
            keys = order.keys(order.column, RunRow.id.expression)
            query = query.order_by(keys[0].nulls_last(), keys[1])
        return self._columns(query.execution_options(yield_per=ROWS_AT_ONCE))

    def _columns(self, query: Select[Any]) -> Iterator[tuple[Any, ...]]:
        with read_session(self._engine) as session:
            for rows in session.execute(query).partitions():
                yield from (tuple(row) for row in rows)

    def some(self, run_ids: Sequence[str]) -> list[Run]:
        """Return the runs of some ids that are known, in the order of the ids, without curves."""
        known = [run_id for run_id in run_ids if RUN_ID.fullmatch(run_id)]
        with read_session(self._engine) as session:
            return [run_of(row) for row in rows_of(session, known)]


def filtered(query: Select[Any], view: View) -> Select[Any]:
    """Return a query over `RunRow` with the conditions of a view."""
    texts = [text for text in (view.filter, view.also) if text.strip()]
    for text in texts:
        query = query.where(compile_filter(text))
    if not any(ARCHIVED in named_fields(text) for text in texts):
        query = query.where(~is_archived())
    return query


def rows_of(session: Session, run_ids: Sequence[str]) -> list[RunRow]:
    """Return the rows of some ids that are known, in the order of the ids."""
    rows = session.scalars(select(RunRow).where(RunRow.id.in_(run_ids))).all()
    by_id = {row.id: row for row in rows}
    session.expunge_all()  # a stream would keep what it has read
    return [by_id[run_id] for run_id in run_ids if run_id in by_id]


def _batches(session: Session, queries: Sequence[Select[Any]]) -> Iterator[list[str]]:
    for query in queries:
        chosen = session.scalars(query.execution_options(yield_per=ROWS_AT_ONCE))
        yield from (list(ids) for ids in chosen.partitions())


def _id_queries(view: View, order: _Order, place: tuple[Any, str] | None) -> list[Select[Any]]:
    return [
        filtered(select(RunRow.id), view).where(*part.where).order_by(*part.keys)
        for part in order.parts(place)
    ]


def _order_of(sort: str) -> _Order:
    found = field_of(sort.removeprefix("-"), param="sort")
    return _Order(found, descending=sort.startswith("-"))


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
