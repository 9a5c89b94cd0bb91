"""What was forecast of recommended configurations, against what their runs came to."""

from collections.abc import Mapping, Sequence

from service import wording
from service.pages import contexts, run_columns
from service.pages.plots import figures, tables
from service.pages.plots.spec import Chart, Drawn, Question
from service.pages.run_columns import Cell
from service.pages.run_contexts import Plot
from service.runs.predicted import QUANTITIES, Compared, Held, Predicted, held, predicted

MOST_DRAWN, MOST_ROWS = 500, 200
_TITLES: Mapping[str, str] = {
    "train_seconds": "Training time",
    "peak_memory_bytes": "Peak memory",
    "regret": "Regret",
}
_UNITS: Mapping[str, str] = {"train_seconds": "seconds", "peak_memory_bytes": "bytes"}


def _draw(question: Question) -> Drawn:
    found = predicted(question.services.engine, question.view)
    how_well = held(found)
    return Drawn(
        plots=tuple(_plot(name, found, how_well[name]) for name in QUANTITIES),
        figures=contexts.rows(
            ("Recommended and run", f"{len(found):,}"),
            *((f"{_TITLES[name]} inside 90 %", _inside(how_well[name])) for name in QUANTITIES),
        ),
    )


def _inside(one: Held) -> str:
    return f"{100 * one.inside / one.runs:.0f} % of {one.runs:,}" if one.runs else ""


def _plot(name: str, found: Sequence[Predicted], how_well: Held) -> Plot:
    told = [one for one in found if one.quantities[name].observed is not None]
    return Plot(
        id=f"predicted-{name.replace('_', '-')}",
        title=_TITLES[name],
        label=f"{_TITLES[name]} observed against predicted, of {len(told)} runs.",
        figure=_figure(name, told[:MOST_DRAWN]) if told else None,
        headings=(
            tables.heading("Run"),
            *(tables.heading(word, is_number=True) for word in ("Expected", "Low", "High")),
            tables.heading("Observed", is_number=True),
            tables.heading("Interval held"),
            tables.heading("Knowledge"),
        ),
        rows=tuple(_row(name, one) for one in told[:MOST_ROWS]),
        note=_note(name, told, how_well),
    )


def _note(name: str, told: Sequence[Predicted], how_well: Held) -> str:
    if not told:
        needs = " and its task has runs enough to compare with" if name == "regret" else ""
        return f"Nothing yet: it is drawn once a recommended configuration was run{needs}."
    ratio = how_well.median_ratio
    words = f"Observed over expected, median: {ratio:.2f}. " if ratio is not None else ""
    return words + ("The newest are drawn." if len(told) > MOST_DRAWN else "")


def _figure(name: str, told: Sequence[Predicted]) -> figures.Figure:
    pairs = [one.quantities[name] for one in told]
    expected = [pair.expected for pair in pairs]
    observed = [pair.observed or 0.0 for pair in pairs]
    unit = f", {_UNITS[name]}" if name in _UNITS else ""
    is_log = figures.spreads([*expected, *observed])
    ends = [min([*expected, *observed]), max([*expected, *observed])]
    more = {"type": "log", "exponentformat": "SI"} if is_log else {"rangemode": "tozero"}
    diagonal = {
        "type": "scatter",
        "mode": "lines",
        "name": "as predicted",
        "x": ends,
        "y": ends,
        "line": {"color": "--line-strong", "dash": "dot", "width": 1.5},
        "hoverinfo": "skip",
    }
    runs = {
        "type": "scatter",
        "mode": "markers",
        "name": "runs, with 90 % intervals",
        "x": expected,
        "y": observed,
        "marker": {
            "color": ["--accent" if pair.is_inside else "--bad" for pair in pairs],
            "size": 8,
        },
        "error_x": _interval(pairs),
        "customdata": [one.run_id for one in told],
        "text": [figures.text(_words(one)) for one in told],
        "hovertemplate": "%{text}<br>predicted %{x:.4~s}, observed %{y:.4~s}<extra></extra>",
    }
    return {
        "traces": [diagonal, runs],
        "layout": {
            "xaxis": {"title": {"text": f"Predicted{unit}"}, **more},
            "yaxis": {"title": {"text": f"Observed{unit}"}, "automargin": True, **more},
            "hovermode": "closest",
        },
    }


def _interval(pairs: Sequence[Compared]) -> figures.Figure:
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(pair.high - pair.expected, 0.0) for pair in pairs],
        "arrayminus": [max(pair.expected - pair.low, 0.0) for pair in pairs],
        "color": "--line-strong",
        "thickness": 1.25,
        "width": 3,
    }


def _row(name: str, one: Predicted) -> tuple[Cell, ...]:
    pair = one.quantities[name]
    held_words = "yes" if pair.is_inside else "no"
    return (
        tables.run_cell(one.run_id, _words(one)),
        *(_said(name, value) for value in (pair.expected, pair.low, pair.high, pair.observed)),
        Cell(text=held_words),
        Cell(text=run_columns.shortened(one.knowledge_version, longest=24)),
    )


def _said(name: str, value: float | None) -> Cell:
    text = wording.decimal(value) if name == "regret" else run_columns.say(name, value)
    return Cell(text=text, kind="number")


def _words(one: Predicted) -> str:
    method = wording.capitalised(wording.method(one.method))
    return f"{method} on {one.dataset_name}, rank {one.rank}"


CHART = Chart(
    name="predicted",
    title="Forecasts",
    lead="Every run of a recommended configuration: what was forecast of it, with its 90 % "
    "interval, and what happened. A good forecast lies on the dotted line.",
    draw=_draw,
)
