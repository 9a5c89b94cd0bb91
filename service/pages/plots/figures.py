"""Figures for Plotly as plain values: traces, axes, and texts that stay texts.

Colours are names of `tokens.css` and `plots.css` that begin with two dashes; the page puts the
colours of light or dark in their place.
"""

from collections.abc import Iterable, Sequence
from html import escape
from math import isfinite
from random import Random
from typing import Any, TypeVar

from service.pages import run_columns

Figure = dict[str, Any]
Row = TypeVar("Row")
LONGEST_LABEL = 44  # characters beside an axis
SERIES = 10  # colours, after which lines are dashed
SPREAD_OF_LOGARITHM = 50.0  # largest over smallest, from which a logarithmic axis says more


def text(value: object, *, longest: int = LONGEST_LABEL) -> str:
    """Return a text that Plotly shows as it stands: it would take tags for markup."""
    shown = "".join(letter if letter.isprintable() else " " for letter in str(value))
    return escape(run_columns.shortened(shown, longest=longest), quote=False)


def axis(name: str, values: Iterable[float | None] = (), **more: Any) -> Figure:
    """Return the axis of a field, logarithmic where its values spread far."""
    is_log = spreads(values)
    found: Figure = {"title": {"text": text(axis_title(name))}, "automargin": True}
    if is_log:
        found |= {"type": "log", "dtick": 1, "exponentformat": "SI"}
    return found | more


def named_axis(names: Sequence[str], **more: Any) -> Figure:
    """Return an axis whose places 0, 1, ... have names, which may be alike."""
    return {
        "tickvals": list(range(len(names))),
        "ticktext": [text(name) for name in names],
        "automargin": True,
        "showgrid": False,
        "zeroline": False,
        "range": [-0.7, len(names) - 0.3],
        **more,
    }


def axis_title(name: str) -> str:
    """Return the title of a field with its unit."""
    title = run_columns.title_of(name)
    unit = {"_seconds": "seconds", "_bytes": "bytes"}
    for end, words in unit.items():
        if name.endswith(end):
            return f"{title}, {words}"
    return title


def spreads(values: Iterable[float | None]) -> bool:
    """Say whether values are positive and spread over some powers of ten."""
    known = [value for value in values if value is not None and isfinite(value)]
    return bool(known) and min(known) > 0 and max(known) / min(known) > SPREAD_OF_LOGARITHM


def series_line(number: int, **more: Any) -> Figure:
    """Return the line of a series, numbered from 1: a colour of its own, then dashes."""
    dash = ("solid", "dash", "dot")[(number - 1) // SERIES % 3]
    return {"color": series_colour(number), "dash": dash, "width": 1.75, **more}


def series_colour(number: int) -> str:
    """Return the colour of a series, numbered from 1."""
    return f"--series-{(number - 1) % SERIES + 1}"


def drawn(rows: Iterable[Row], most: int) -> tuple[list[Row], int]:
    """Return at most `most` rows, drawn at random and the same each time, and how many there were.

    The rows are read once and not held.  Algorithm R: Vitter, ACM TOMS 11 (1985).
    """
    rng = Random(0)
    kept: list[Row] = []
    count = 0
    for row in rows:
        count += 1
        if len(kept) < most:
            kept.append(row)
        elif (place := rng.randrange(count)) < most:
            kept[place] = row
    return kept, count


def drawn_note(shown: int, total: int) -> str:
    """Say that some were left out, where they were."""
    return f"{shown:,} of {total:,} are drawn, chosen at random." if shown < total else ""
