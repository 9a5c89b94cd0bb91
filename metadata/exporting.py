"""Runs for other programs, some hundred at a time whatever their number.

Two shapes: chosen fields as plain values, which any tool reads as a table, and whole runs in the
layout of `metadata.runs_file`, curves too, which another Peftwise imports. Neither makes records:
what the database holds was checked when it was added.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, String, cast, select
from sqlalchemy.orm import Session

from metadata.browsing import Browser, View
from metadata.notes import NOTHING_SAID, notes_of, said
from metadata.query import Field, field_of
from metadata.run_rows import FIGURES, JSON_PARTS, CurveChunk, RunRow

WHOLE_AT_ONCE = 50  # runs with their curves, of which some are long

Values = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Fields by name, and what must be read to know them."""

    fields: tuple[Field, ...]

    @property
    def columns(self) -> list[str]:
        """Return the columns of `RunRow` that hold them, the id first."""
        needed = {one.name if one.is_typed else one.name.partition(".")[0] for one in self.fields}
        return ["id", *(name for name in (*FIGURES, *JSON_PARTS) if name in needed - {"id"})]

    @property
    def are_said(self) -> bool:
        """Say whether some are of notes and tags."""
        return any(one.is_said for one in self.fields)


def chosen(names: Sequence[str]) -> Chosen:
    """Return fields by their names.

    Raises:
        BadFilter: A name is no field.
    """
    return Chosen(fields=tuple(field_of(name, param="fields") for name in names))


def tables(browser: Browser, view: View, names: Sequence[str]) -> Iterator[list[Values]]:
    """Yield the runs of a view in its order as chosen values by name, the id first, in batches.

    Raises:
        BadFilter: A name is no field, or the view cannot be read.
    """
    fields = chosen(names)
    return (_values(session, ids, fields) for session, ids in browser.batches(view))


def whole_rows(browser: Browser, view: View) -> Iterator[list[Values]]:
    """Yield the runs of a view in its order as their columns and `curve`, JSON as text, in batches.

    Raises:
        BadFilter: The view cannot be read.
    """
    batches = browser.batches(view)
    return (
        _whole(session, ids[start : start + WHOLE_AT_ONCE])
        for session, ids in batches
        for start in range(0, len(ids), WHOLE_AT_ONCE)
    )


def configurations(browser: Browser, view: View, names: Sequence[str]) -> Iterator[Row[Any]]:
    """Yield the id, the configuration and some columns of each run of a view.

    Raises:
        BadFilter: The view cannot be read.
    """
    columns = [getattr(RunRow, name) for name in dict.fromkeys((*names, "configuration"))]
    query = select(RunRow.id, *columns)
    for session, ids in browser.batches(view):
        rows = {row.id: row for row in session.execute(query.where(RunRow.id.in_(ids)))}
        yield from (rows[run_id] for run_id in ids if run_id in rows)


def kinds_met(browser: Browser, view: View, names: Sequence[str]) -> Mapping[str, set[type]]:
    """Return the types of the values of some fields, for those of no fixed kind; one reading."""
    met: dict[str, set[type]] = {name: set() for name in names}
    if not met:
        return met
    for batch in tables(browser, view, names):
        for row in batch:
            for name, types in met.items():
                types.add(type(row[name]))
    return met


def _values(session: Session, ids: Sequence[str], fields: Chosen) -> list[Values]:
    query = select(*(getattr(RunRow, name) for name in fields.columns))
    rows = {row.id: row for row in session.execute(query.where(RunRow.id.in_(ids)))}
    notes = notes_of(session, ids) if fields.are_said else {}
    return [
        {"id": run_id}
        | {
            one.name: said(notes.get(run_id, NOTHING_SAID))[one.name]
            if one.is_said
            else _value(rows[run_id], one)
            for one in fields.fields
        }
        for run_id in ids
        if run_id in rows
    ]


def _value(row: Row[Any], field: Field) -> Any:
    if field.is_typed:
        return getattr(row, field.name)
    part, *path = field.name.split(".")
    value = getattr(row, part)
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return None if isinstance(value, dict) else value


def _whole(session: Session, ids: Sequence[str]) -> list[Values]:
    typed = [getattr(RunRow, name) for name in FIGURES]
    texts = [cast(getattr(RunRow, name), String).label(name) for name in JSON_PARTS]
    query = select(*typed, *texts).where(RunRow.id.in_(ids))
    rows = {row.id: row._asdict() for row in session.execute(query)}
    curves = _curves(session, ids)
    return [rows[run_id] | {"curve": curves.get(run_id, "[]")} for run_id in ids if run_id in rows]


def _curves(session: Session, ids: Sequence[str]) -> Mapping[str, str]:
    """Return learning curves as JSON texts, the chunks of each joined unread."""
    points = cast(CurveChunk.points, String)
    chunks = select(CurveChunk.run_id, points).where(CurveChunk.run_id.in_(ids))
    pieces: dict[str, list[str]] = defaultdict(list)
    for run_id, text in session.execute(chunks.order_by(CurveChunk.run_id, CurveChunk.chunk)):
        inner = text.strip()[1:-1].strip()
        if inner:
            pieces[run_id].append(inner)
    return {run_id: f"[{','.join(some)}]" for run_id, some in pieces.items()}
