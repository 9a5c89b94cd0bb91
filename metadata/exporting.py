"""Runs for other programs, some hundred at a time whatever their number.

Two shapes: chosen fields as plain values, which any tool reads as a table, and whole runs in the
layout of `metadata.runs_file`, curves too, which another Peftwise imports. Neither makes records:
what the database holds was checked when it was added.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json
from sqlalchemy import Row, String, cast, select
from sqlalchemy.orm import Session

from metadata.browsing import Browser, View
from metadata.notes import NOTHING_SAID, Note, notes_of, said
from metadata.query import Field, field_of
from metadata.run_rows import FIGURES, JSON_PARTS, CurveChunk, RunRow

WHOLE_AT_ONCE = 50  # runs with their curves, of which some are long

Values = tuple[Any, ...]
Reader = Callable[[Row[Any], Note], Any]


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Fields by name, the columns that hold them, and how each is read from a row of those."""

    names: tuple[str, ...]
    columns: tuple[str, ...]
    readers: tuple[Reader, ...]
    are_said: bool


def chosen(names: Sequence[str]) -> Chosen:
    """Return fields by their names, the id first.

    Raises:
        BadFilter: A name is no field.
    """
    fields = [field_of(name, param="fields") for name in dict.fromkeys(("id", *names))]
    needed = {one.name if one.is_typed else one.name.partition(".")[0] for one in fields}
    columns = tuple(name for name in (*FIGURES, *JSON_PARTS) if name in needed)
    return Chosen(
        names=tuple(one.name for one in fields),
        columns=columns,
        readers=tuple(_reader(one, columns) for one in fields),
        are_said=any(one.is_said for one in fields),
    )


def tables(browser: Browser, view: View, names: Sequence[str]) -> Iterator[list[Values]]:
    """Yield the runs of a view in its order as tuples of the id and the named values, in batches.

    Raises:
        BadFilter: A name is no field, or the view cannot be read.
    """
    fields = chosen(names)
    return (_values(session, ids, fields) for session, ids in browser.batches(view))


def whole_rows(browser: Browser, view: View) -> Iterator[list[dict[str, Any]]]:
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


def configurations(browser: Browser, view: View, names: Sequence[str]) -> Iterator[Values]:
    """Yield the configuration and some typed columns of each run of a view, in no order.

    Raises:
        BadFilter: The view cannot be read.
    """
    text = cast(RunRow.configuration, String)  # half the time of what the column itself gives
    rows = browser.scan(view, (text, *(getattr(RunRow, name) for name in names)))
    return ((from_json(row[0]), *row[1:]) for row in rows)


def kinds_met(browser: Browser, view: View, names: Sequence[str]) -> Mapping[str, set[type]]:
    """Return the types of the values of some fields, for those of no fixed kind; one reading."""
    met: dict[str, set[type]] = {name: set() for name in names}
    if not met:
        return met
    for batch in tables(browser, view, list(met)):
        for _, *values in batch:
            for types, value in zip(met.values(), values, strict=True):
                types.add(type(value))
    return met


def _values(session: Session, ids: Sequence[str], fields: Chosen) -> list[Values]:
    query = select(*(getattr(RunRow, name) for name in fields.columns))
    place = fields.columns.index("id")
    rows = {row[place]: row for row in session.execute(query.where(RunRow.id.in_(ids)))}
    notes = notes_of(session, ids) if fields.are_said else {}
    return [
        tuple(read(rows[run_id], notes.get(run_id, NOTHING_SAID)) for read in fields.readers)
        for run_id in ids
        if run_id in rows
    ]


def _reader(field: Field, columns: Sequence[str]) -> Reader:
    if field.is_said:
        return lambda _, note: said(note)[field.name]
    part, *path = (field.name,) if field.is_typed else field.name.split(".")
    place = columns.index(part)
    if not path:
        return lambda row, _: row[place]
    return lambda row, _: _at(row[place], path)


def _at(value: Any, path: Sequence[str]) -> Any:
    """Return what stands at a path, None where nothing does."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return None if isinstance(value, dict) else value


def _whole(session: Session, ids: Sequence[str]) -> list[dict[str, Any]]:
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
