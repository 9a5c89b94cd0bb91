"""Cost against gain, and the runs that none beats."""

from typing import Any

from metadata.errors import InvalidRequest
from metadata.looking import unbeaten
from metadata.query import field_of
from service import wording
from service.pages import contexts, run_columns
from service.pages.plots import figures, tables
from service.pages.plots.spec import Chart, Drawn, Question
from service.pages.run_contexts import Plot, Select

MOST_DRAWN = 3_000  # of the runs that are beaten
MOST_ROWS = 200
COST, GAIN = "train_seconds", "score"


def _draw(question: Question) -> Drawn:
    cost, gain = question.choice("cost", COST), question.choice("gain", GAIN)
    for param, name in (("cost", cost), ("gain", gain)):
        _check_number(name, param=param)
    names = [cost, gain, "method", "dataset_name"]
    rows = [row for row in question.browser.columns(question.view, names) if None not in row[1:3]]
    best = set(unbeaten(row[:3] for row in rows))
    front = sorted((row for row in rows if row[0] in best), key=lambda row: (row[1], row[0]))
    datasets = len({row[4] for row in rows})
    return Drawn(
        plots=(_plot(rows, front, cost=cost, gain=gain),),
        figures=contexts.rows(
            ("Runs with both", f"{len(rows):,}"),
            ("Not beaten", f"{len(front):,}"),
            ("Datasets", f"{datasets:,}"),
        ),
        selects=(
            _select("cost", "Cost, the less the better", cost),
            _select("gain", "Gain, the more the better", gain),
        ),
    )


def _plot(
    rows: list[tuple[Any, ...]], front: list[tuple[Any, ...]], *, cost: str, gain: str
) -> Plot:
    beaten = figures.evenly([row for row in rows if row not in set(front)], MOST_DRAWN)
    title = f"{run_columns.title_of(gain)} against {run_columns.title_of(cost).lower()}"
    notes = []
    if len(beaten) < len(rows) - len(front):
        notes.append(f"Of the runs that are beaten, {MOST_DRAWN:,} are drawn, evenly chosen.")
    if len({row[4] for row in rows}) > 1 and gain == GAIN:
        notes.append("Gains of different datasets do not compare: filter to one dataset.")
    if len(front) > MOST_ROWS:
        notes.append(f"The table has the {MOST_ROWS} cheapest.")
    return Plot(
        id="pareto",
        title=title,
        label=f"{title}: {len(rows):,} runs, {len(front):,} of them not beaten.",
        figure=_figure(beaten, front, cost=cost, gain=gain) if rows else None,
        headings=(
            tables.heading("Not beaten"),
            tables.field_heading(cost),
            tables.field_heading(gain),
        ),
        rows=tuple(
            (
                tables.run_cell(row[0], _words(row)),
                tables.number(row[1], cost),
                tables.number(row[2], gain),
            )
            for row in front[:MOST_ROWS]
        ),
        note=" ".join(notes) if rows else "No run here has both values.",
    )


def _figure(
    beaten: list[tuple[Any, ...]], front: list[tuple[Any, ...]], *, cost: str, gain: str
) -> figures.Figure:
    others = _trace(beaten, "beaten") | {
        "mode": "markers",
        "marker": {"color": "--muted", "size": 5, "opacity": 0.4},
    }
    best = _trace(front, "not beaten") | {
        "mode": "lines+markers",
        "line": {"color": "--accent", "shape": "hv", "width": 2},
        "marker": {"color": "--accent", "size": 8},
    }
    costs = [row[1] for row in (*beaten, *front)]
    return {
        "traces": [others, best],
        "layout": {
            "xaxis": figures.axis(cost, costs),
            "yaxis": figures.axis(gain),
            "hovermode": "closest",
        },
    }


def _trace(rows: list[tuple[Any, ...]], name: str) -> figures.Figure:
    return {
        "type": "scatter",
        "name": name,
        "x": [row[1] for row in rows],
        "y": [row[2] for row in rows],
        "customdata": [row[0] for row in rows],
        "text": [figures.text(_words(row)) for row in rows],
        "hovertemplate": "%{text}<br>%{x:.4~g}, %{y:.4~g}<extra></extra>",
    }


def _words(row: tuple[Any, ...]) -> str:
    return f"{wording.capitalised(wording.method(row[3]))} on {row[4]}"


def _check_number(name: str, *, param: str) -> None:
    field = field_of(name, param=param)
    if field.kind not in {"number", "any"}:
        raise InvalidRequest(
            f"{param} is a field of numbers, got {name[:60]!r}, which holds none. Choose another.",
            param=param,
        )


def _select(name: str, label: str, value: str) -> Select:
    options = [contexts.Row(name=one, value=_option(one)) for one in run_columns.number_fields()]
    if value not in run_columns.number_fields():
        options.append(contexts.Row(name=value, value=value))
    return Select(name=name, label=label, value=value, options=tuple(options))


def _option(name: str) -> str:
    return run_columns.TITLES.get(name, name)


CHART = Chart(
    name="pareto",
    title="Cost and gain",
    lead="Each point is a run. On the line are those that no cheaper run equals: "
    "anything else costs more than it needs to.",
    draw=_draw,
    choices=("cost", "gain"),
)
