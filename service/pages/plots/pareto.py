"""Cost against gain, and the runs that none beats."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from metadata.errors import InvalidRequest
from metadata.query import field_of
from service import wording
from service.pages import contexts, run_columns
from service.pages.plots import figures, tables
from service.pages.plots.spec import Chart, Drawn, Question
from service.pages.run_contexts import Plot, Select

MOST_DRAWN = 3_000  # of the runs that are beaten
MOST_ROWS = 200
COST, GAIN = "train_seconds", "score"
Point = tuple[Any, ...]  # id, cost, gain, method, dataset


def _draw(question: Question) -> Drawn:
    cost, gain = question.choice("cost", COST), question.choice("gain", GAIN)
    for param, name in (("cost", cost), ("gain", gain)):
        check_number(name, param=param)
    names = [cost, gain, "method", "dataset_name"]
    browser, view = question.browser, question.view
    found = browser.columns(view, names, in_order=False)
    datasets: set[str] = set()
    rows, total = figures.drawn(_known(found, datasets), MOST_DRAWN)
    front = browser.front(view, cost=cost, gain=gain)
    best = {run.id: run for run in browser.some([row[0] for row in front])}
    told = [
        (*row, best[row[0]].configuration.method.name, best[row[0]].task.dataset.name)
        for row in front
        if row[0] in best
    ]
    return Drawn(
        plots=(_plot(rows, told, total, cost=cost, gain=gain, datasets=len(datasets)),),
        figures=contexts.rows(
            ("Runs with both", f"{total:,}"),
            ("Not beaten", f"{len(front):,}"),
            ("Datasets", f"{len(datasets):,}"),
        ),
        selects=(
            _select("cost", "Cost, the less the better", cost),
            _select("gain", "Gain, the more the better", gain),
        ),
    )


def _known(rows: Iterable[Point], datasets: set[str]) -> Iterator[Point]:
    """Yield the rows that have both values, and note their datasets."""
    for row in rows:
        if row[1] is not None and row[2] is not None:
            datasets.add(row[4])
            yield row


def _plot(
    rows: Sequence[Point],
    front: Sequence[Point],
    total: int,
    *,
    cost: str,
    gain: str,
    datasets: int,
) -> Plot:
    best = {row[0] for row in front}
    beaten = [row for row in rows if row[0] not in best]
    title = f"{run_columns.title_of(gain)} against {run_columns.title_of(cost).lower()}"
    notes = [figures.drawn_note(len(rows), total)]
    if datasets > 1 and gain == GAIN:
        notes.append("Gains of different datasets do not compare: filter to one dataset.")
    if len(front) > MOST_ROWS:
        notes.append(f"The table has the {MOST_ROWS} cheapest.")
    return Plot(
        id="pareto",
        title=title,
        label=f"{title}: {total:,} runs, {len(front):,} of them not beaten.",
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
        note=" ".join(filter(None, notes)) if rows else "No run here has both values.",
    )


def _figure(
    beaten: Sequence[Point], front: Sequence[Point], *, cost: str, gain: str
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


def _trace(rows: Sequence[Point], name: str) -> figures.Figure:
    return {
        "type": "scatter",
        "name": name,
        "x": [row[1] for row in rows],
        "y": [row[2] for row in rows],
        "customdata": [row[0] for row in rows],
        "text": [figures.text(_words(row)) for row in rows],
        "hovertemplate": "%{text}<br>%{x:.4~g}, %{y:.4~g}<extra></extra>",
    }


def _words(row: Point) -> str:
    return f"{wording.capitalised(wording.method(row[3]))} on {row[4]}"


def check_number(name: str, *, param: str) -> None:
    """Refuse a field that holds no numbers.

    Raises:
        InvalidRequest: There is no such field, or it is of another kind.
    """
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
