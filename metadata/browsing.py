"""Runs as people look at them: filtered, sorted by anything, a page at a time; counted, streamed.

A page goes on from the last id of the one before, by the keyset (is empty, value, id), so that
nothing is skipped or shown twice whatever is added meanwhile. Empty values come last. Archived
runs are out of sight unless the filter names the field `archived`.

Ids are found and sorted first, and their rows, of which JSON is the larger part, read after.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, func, or_, select
from sqlalchemy.orm import Session

from metadata.database import read_session, scan_session
from metadata.errors import InvalidRequest
from metadata.notes import NOTHING_SAID, Note, is_archived, notes_of
from metadata.ordering import Order, Place, order_of
from metadata.query import ARCHIVED, compile_filter, field_of, named_fields
from metadata.records import Run
from metadata.run_rows import RUN_ID, RunRow, run_of

LARGEST_PAGE = 1000
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
        order = order_of(view.sort)
        with scan_session(self._engine) as session:
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
        with scan_session(self._engine) as session:
            return session.scalar(query) or 0

    def stream(self, view: View) -> Iterator[Run]:
        """Yield every run of a view in its order, without curves, some hundred at a time.

        Raises:
            InvalidRequest: The filter or the sort cannot be read.
        """
        queries = _id_queries(view, order_of(view.sort), None)
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
        queries = _id_queries(view, order_of(view.sort), None)
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
            order = order_of(view.sort)
            keys = order.keys(order.column, RunRow.id.expression)
            query = query.order_by(keys[0].nulls_last(), keys[1])
        return self._rows(query)

    def scan(self, view: View, columns: Sequence[ColumnElement[Any]]) -> Iterator[tuple[Any, ...]]:
        """Yield some columns of every run of a view, in no order, without loading the runs.

        Raises:
            BadFilter: The filter cannot be read.
        """
        return self._rows(filtered(select(*columns), view))

    def _rows(self, query: Select[Any]) -> Iterator[tuple[Any, ...]]:
        with scan_session(self._engine) as session:
            streamed = session.execute(query.execution_options(yield_per=ROWS_AT_ONCE))
            for rows in streamed.partitions():
                yield from (tuple(row) for row in rows)

    def counted(self, view: View, names: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return each combination of some fields, how many runs have it, and the last id of them.

        Raises:
            BadFilter: The filter or a name cannot be read.
        """
        chosen = [field_of(name, param="fields").sort_column() for name in names]
        query = filtered(select(*chosen, func.count(), func.max(RunRow.id)), view)
        with scan_session(self._engine) as session:
            return [tuple(row) for row in session.execute(query.group_by(*chosen))]

    def front(self, view: View, *, cost: str, gain: str) -> list[tuple[str, float, float]]:
        """Return id, cost and gain of the runs that none beats, the cheapest first.

        A run is beaten by one that costs no more and gains as much.

        Raises:
            BadFilter: The filter or a name cannot be read.
        """
        costs, gains = (field_of(name, param="fields").sort_column() for name in (cost, gain))
        known = filtered(select(RunRow.id, costs.label("cost"), gains.label("gain")), view)
        runs = known.where(costs.is_not(None), gains.is_not(None)).subquery()
        keys = (runs.c.cost, runs.c.gain.desc(), runs.c.id)
        before = func.max(runs.c.gain).over(order_by=keys, rows=(None, -1)).label("before")
        seen = select(runs, before).subquery()
        unbeaten = select(seen.c.id, seen.c.cost, seen.c.gain).where(
            or_(seen.c.before.is_(None), seen.c.gain > seen.c.before)
        )
        with scan_session(self._engine) as session:
            return [tuple(row) for row in session.execute(unbeaten.order_by(seen.c.cost))]

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


def _id_queries(view: View, order: Order, place: Place | None) -> list[Select[Any]]:
    return [
        filtered(select(RunRow.id), view).where(*part.where).order_by(*part.keys)
        for part in order.parts(place)
    ]


def _value_of(session: Session, order: Order, after: str) -> Any:
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
