"""Parallel coordinates: a line for each run over an axis for each field, coloured by the last.

Drawn with plain lines: Plotly's own kind needs WebGL and code made at run time, which the policy
of these pages forbids.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import log10
from typing import Any

from metadata.errors import InvalidRequest
from metadata.query import field_of
from service import wording
from service.pages import contexts, run_columns
from service.pages.plots import figures, tables
from service.pages.plots.pareto import check_number
from service.pages.plots.spec import Chart, Drawn, Question
from service.pages.run_contexts import Plot, Select

AXES = ("method", "rank", "learning_rate", "epochs", "trainable_parameters", "train_seconds")
COLOUR = "score"
MOST_LINES, MOST_ROWS = 400, 100
FEWEST_AXES, MOST_AXES = 2, 12
BANDS = 5  # colours, from the worst to the best
MOST_CATEGORIES = 12
_GAP = None  # between two lines of one trace


@dataclass(frozen=True)
class _Scale:
    """Where the values of a field stand on an axis from 0 to 1."""

    name: str
    places: tuple[float | None, ...]
    ticks: tuple[tuple[float, str], ...]


def _draw(question: Question) -> Drawn:
    names = _axes(question.choice("axes", ", ".join(AXES)))
    colour = question.choice("by", COLOUR)
    check_number(colour, param="by")
    names = [*(name for name in names if name != colour), colour]
    asked = ["method", "dataset_name", *names]
    found = question.browser.columns(question.view, asked, in_order=False)
    shown, total = figures.drawn((row for row in found if row[-1] is not None), MOST_LINES)
    shown.sort(key=lambda row: (-row[-1], row[0]))
    return Drawn(
        plots=(_plot(shown, names, total=total),),
        figures=contexts.rows((f"Runs with {run_columns.title_of(colour).lower()}", f"{total:,}")),
        selects=(
            Select(
                name="axes",
                label="Axes, by commas",
                value=", ".join(names[:-1]),
                options=(),
                is_open=True,
            ),
            Select(
                name="by",
                label="Coloured by",
                value=colour,
                options=tuple(
                    contexts.Row(name=one, value=run_columns.TITLES.get(one, one))
                    for one in dict.fromkeys((*run_columns.number_fields(), colour))
                ),
            ),
        ),
    )


def _axes(text: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not FEWEST_AXES <= len(names) <= MOST_AXES:
        raise InvalidRequest(
            f"axes names {FEWEST_AXES} to {MOST_AXES} fields, got {len(names)}. "
            "Name others, by commas.",
            param="axes",
        )
    for name in names:
        field_of(name, param="axes")
    return names


def _plot(rows: Sequence[tuple[Any, ...]], names: Sequence[str], *, total: int) -> Plot:
    scales = [_scale(name, [row[place + 3] for row in rows]) for place, name in enumerate(names)]
    notes = [figures.drawn_note(len(rows), total)]
    if len(rows) > MOST_ROWS:
        notes.append(f"The table has the {MOST_ROWS} best of them.")
    colour = run_columns.title_of(names[-1]).lower()
    return Plot(
        id="parallel",
        title=f"Configurations, coloured by {colour}",
        label=f"{len(rows):,} runs as lines over {len(names)} axes, coloured by {colour}.",
        figure=_figure(rows, scales) if rows else None,
        headings=(tables.heading("Run"), *(tables.field_heading(name) for name in names)),
        rows=tuple(
            (
                tables.run_cell(row[0], _words(row)),
                *(run_columns.cell(name, row[place + 3]) for place, name in enumerate(names)),
            )
            for row in rows[:MOST_ROWS]
        ),
        note=" ".join(filter(None, notes)) if rows else f"No run here has {colour}.",
        size="plot-wide",
    )


def _figure(rows: Sequence[tuple[Any, ...]], scales: Sequence[_Scale]) -> figures.Figure:
    traces = [_band(band, rows, scales) for band in range(BANDS)]
    last = len(scales) - 1
    return {
        "traces": [trace for trace in traces if trace["x"]],
        "layout": {
            "xaxis": {
                "tickvals": list(range(len(scales))),
                "ticktext": [
                    figures.text(run_columns.title_of(s.name), longest=22) for s in scales
                ],
                "range": [-0.15, last + 0.35],
                "side": "top",
                "showline": False,
                "ticks": "",
                "tickangle": 0,
                "tickfont": {"color": "--ink", "size": 12},
                "showgrid": False,
                "fixedrange": True,
            },
            "yaxis": {"visible": False, "range": [-0.05, 1.05], "fixedrange": True},
            "shapes": [_axis_line(place) for place in range(len(scales))],
            "annotations": [
                _tick(place, at, words)
                for place, scale in enumerate(scales)
                for at, words in scale.ticks
            ],
            "hovermode": "closest",
            "showlegend": False,
            "dragmode": False,
        },
    }


def _title(scale: _Scale) -> str:
    return figures.text(run_columns.title_of(scale.name), longest=22)


def _band(band: int, rows: Sequence[tuple[Any, ...]], scales: Sequence[_Scale]) -> figures.Figure:
    """Return the lines of one colour as a single trace, with gaps between them."""
    x: list[float | None] = []
    y: list[float | None] = []
    ids: list[str | None] = []
    words: list[str | None] = []
    for number, row in enumerate(rows):
        if _band_of(number, len(rows)) != band:
            continue
        for place, scale in enumerate(scales):
            x.append(place)
            y.append(scale.places[number])
        said = figures.text(f"{_words(row)}: {run_columns.say(scales[-1].name, row[-1])}")
        x.append(_GAP)
        y.append(_GAP)
        ids += [row[0]] * len(scales) + [None]
        words += [said] * len(scales) + [None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "customdata": ids,
        "text": words,
        "hovertemplate": "%{text}<extra></extra>",
        "line": {"color": f"--band-{band + 1}", "width": 1},
        "opacity": 0.55 if len(rows) > 60 else 0.9,
    }


def _band_of(number: int, count: int) -> int:
    """Return the colour of a run by its rank, the best first: the last band is the best."""
    return BANDS - 1 - min(BANDS - 1, number * BANDS // max(count, 1))


def _scale(name: str, values: Sequence[Any]) -> _Scale:
    known = [value for value in values if value is not None]
    if any(isinstance(value, str | bool) or not isinstance(value, int | float) for value in known):
        return _categories(name, values)
    if not known:
        return _Scale(name, tuple(None for _ in values), ())
    is_log = figures.spreads(known) and run_columns.direction(name) <= 0  # gains are differences
    low, high = min(known), max(known)
    steps = (0.0, 0.25, 0.5, 0.75, 1.0) if high > low else (0.5,)
    return _Scale(
        name,
        tuple(None if value is None else _place(value, low, high, is_log) for value in values),
        tuple((step, run_columns.say(name, _value(step, low, high, is_log))) for step in steps),
    )


def _categories(name: str, values: Sequence[Any]) -> _Scale:
    said = [run_columns.say(name, value) for value in values]
    counted = Counter(said)
    common = sorted(one for one, _ in counted.most_common(MOST_CATEGORIES))
    ticks = [*common, "others"] if len(counted) > len(common) else common
    step = 1 / max(1, len(ticks) - 1)
    at = {one: number * step if len(ticks) > 1 else 0.5 for number, one in enumerate(ticks)}
    places = tuple(at.get(one, at[ticks[-1]]) for one in said)
    return _Scale(name, places, tuple((place, one) for one, place in at.items()))


def _place(value: float, low: float, high: float, is_log: bool) -> float:
    if high == low:
        return 0.5
    if is_log:
        return (log10(value) - log10(low)) / (log10(high) - log10(low))
    return (value - low) / (high - low)


def _value(place: float, low: float, high: float, is_log: bool) -> float:
    if high == low:
        return low
    found = low * (high / low) ** place if is_log else low + place * (high - low)
    return round(found) if isinstance(low, int) and isinstance(high, int) else found


def _axis_line(place: int) -> figures.Figure:
    line = {"color": "--line-strong", "width": 1}
    return {"type": "line", "x0": place, "x1": place, "y0": 0, "y1": 1, "line": line}


def _tick(place: int, at: float, words: str) -> figures.Figure:
    return {
        "x": place,
        "y": at,
        "text": figures.text(words, longest=18),
        "showarrow": False,
        "xanchor": "left",
        "xshift": 4,
        "font": {"size": 11, "color": "--ink"},
        "bgcolor": "--card",
        "opacity": 0.85,
        "borderpad": 1,
    }


def _words(row: tuple[Any, ...]) -> str:
    return f"{wording.capitalised(wording.method(row[1]))} on {row[2]}"


CHART = Chart(
    name="parallel",
    title="Configurations",
    lead="Each line is a run, from the values it was given to what came of it. "
    "Where the lines of the best colour run together, a value matters.",
    draw=_draw,
    choices=("axes", "by"),
)
