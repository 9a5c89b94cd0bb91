"""What several runs show together: what differs, who is not beaten, a table of chosen fields."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from metadata.notes import NOTHING_SAID, Note, said
from metadata.query import field_of
from metadata.records import Measurement, Run
from metadata.run_rows import FIGURES, JSON_PARTS, figures

MOST_POINTS = 1_000  # of a curve in a comparison
_APART = frozenset({"id", "created_at", "reason", "configuration_key", "pair", "score"})

Values = Mapping[str, Any]


def values_of(run: Run) -> dict[str, Any]:
    """Return every value of a run by its field's name, typed columns first."""
    flat: dict[str, Any] = dict(figures(run))
    said = run.model_dump(mode="json", exclude={"curve"})
    for part in JSON_PARTS:
        flat.update(_leaves(said[part], part))
    return flat


def picked(run: Run, names: Sequence[str], note: Note = NOTHING_SAID) -> dict[str, Any]:
    """Return the id of a run and some of its values; one that it lacks is null.

    Raises:
        BadFilter: A name is no field.
    """
    for name in names:
        field_of(name, param="fields")
    values = values_of(run) | dict(said(note))
    return {"id": run.id} | {name: _plain(values.get(name)) for name in names}


def differing(runs: Sequence[Run]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Return what all runs share, and what differs as one value a run, in their order.

    A value that stands in a column and again in a path is told once, by the column.
    """
    tables = [values_of(run) for run in runs]
    names = dict.fromkeys(name for table in tables for name in table if name not in _APART)
    same: dict[str, Any] = {}
    differs: dict[str, list[Any]] = {}
    told: set[str] = set()
    for name in names:
        row = [_plain(table.get(name)) for table in tables]
        key = f"{name.rpartition('.')[2]}:{row}"
        if name not in FIGURES and key in told:
            continue
        told.add(key)
        if all(value == row[0] for value in row):
            same[name] = row[0]
        else:
            differs[name] = row
    return same, differs


def thinned(curve: Sequence[Measurement]) -> tuple[Measurement, ...]:
    """Return at most `MOST_POINTS` points of a curve, evenly chosen, the last one among them."""
    if len(curve) <= MOST_POINTS:
        return tuple(curve)
    step = (len(curve) - 1) / (MOST_POINTS - 1)
    return tuple(curve[round(place * step)] for place in range(MOST_POINTS))


def unbeaten(points: Iterable[tuple[str, float | None, float | None]]) -> list[str]:
    """Return the ids of points (id, cost, gain) that none beats: no cheaper one gains as much."""
    known = sorted(
        (cost, -gain, name) for name, cost, gain in points if cost is not None and gain is not None
    )
    best = float("inf")
    kept = []
    for _, loss, name in known:
        if loss < best:
            best = loss
            kept.append(name)
    return kept


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}")
    else:
        yield path, value


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
