"""From some runs to the page that shows them beside each other."""

from collections.abc import Mapping, Sequence
from typing import Any

from metadata.records import Measurement, Run
from metadata.showing.together import MOST_POINTS, differing, thinned, values_of
from service import wording
from service.pages import contexts, run_columns, run_contexts, urls
from service.pages.plots import figures, tables
from service.pages.run_columns import Cell
from service.pages.run_contexts import Plot

Curves = Mapping[str, Sequence[Measurement]]
USUAL_MEASURE = "validation loss"
_OTHER = "Everything else"
_ORDER = ("Result", "Configuration", "Costs", "Task", "Record", _OTHER)
_TOLD_BY_OTHERS = frozenset(  # the same in a column of another name
    {
        "configuration.method.name",
        "configuration.method.r",
        "configuration.optimizer.name",
        "configuration.schedule.name",
        "dataset_group",
        "origin.source",
        "task.dataset.group",
        "task.dataset.name",
        "task.dataset.sha256",
        "task.device.name",
        "task.model.family",
        "task.model.id",
        "task.model.parameters",
    }
)


def view_compare(
    runs: Sequence[Run], curves: Curves, *, shows_all: bool, measure: str, view_query: str
) -> run_contexts.ComparePage:
    """Return the comparison: what differs, or all, and one measurement of every curve.

    Args:
        runs: 2 to 20 of them, in the order of their columns.
        curves: By the id of the run.
        shows_all: Whether what all share is told too.
        measure: Which measurement is drawn, as `validation loss`; another where there is none.
        view_query: The view of the table to go back to.
    """
    same, differs = differing(runs)
    measures = _measures(curves)
    drawn = measure if measure in measures else _usual(measures)
    ids = [run.id for run in runs]
    kept = {"measure": measure if measure != USUAL_MEASURE else "", "view": view_query}
    kept = {name: value for name, value in kept.items() if value}
    return run_contexts.ComparePage(
        title=f"{len(runs)} runs compared",
        runs=tuple(
            _column(run, number, ids, kept | ({"all": "1"} if shows_all else {}))
            for number, run in enumerate(runs, 1)
        ),
        groups=tuple(_groups(runs, same if shows_all else {}, differs)),
        shows_all=shows_all,
        other_link=urls.compare(ids, kept if shows_all else kept | {"all": "1"}),
        same_count=len(same),
        measures=tuple(
            run_contexts.Choice(name=name, title=wording.capitalised(name), is_chosen=name == drawn)
            for name in measures
        ),
        hidden=_hidden(ids, shows_all=shows_all, view_query=view_query),
        plot=_plot(runs, curves, drawn) if drawn else None,
        table_link=f"{urls.runs()}?{view_query}" if view_query else urls.runs(),
    )


def name_of(measurement: Measurement) -> str:
    """Return the name of what was measured: `validation loss`."""
    return f"{measurement.split} {measurement.name.replace('_', ' ')}"


def _column(
    run: Run, number: int, ids: Sequence[str], kept: Mapping[str, str]
) -> run_contexts.ComparedRun:
    rest = [one for one in ids if one != run.id]
    return run_contexts.ComparedRun(
        id=run.id,
        title=wording.capitalised(wording.method(run.configuration.method.name)),
        detail=run_columns.shortened(run.task.dataset.name, longest=60),
        link=urls.run(run.id),
        without_link=urls.compare(rest, kept) if len(rest) > 1 else "",
        series=number,
    )


def _hidden(ids: Sequence[str], *, shows_all: bool, view_query: str) -> tuple[contexts.Row, ...]:
    pairs = [*(("run", one) for one in ids), ("view", view_query)]
    return contexts.rows(*pairs, ("all", "1" if shows_all else ""))


def _groups(
    runs: Sequence[Run], same: Mapping[str, Any], differs: Mapping[str, list[Any]]
) -> list[run_contexts.ComparedGroup]:
    """Return the rows by group, those that differ first in each."""
    every = [values_of(run) for run in runs]
    grouped: dict[str, list[run_contexts.ComparedRow]] = {}
    for names, is_different in ((("score", *differs), True), (same, False)):
        for name in names:
            if name not in _TOLD_BY_OTHERS:
                row = _row(name, [values.get(name) for values in every], differs=is_different)
                grouped.setdefault(_group_of(name), []).append(row)
    found = sorted(grouped.items(), key=lambda item: _ORDER.index(item[0]))
    return [run_contexts.ComparedGroup(title=title, rows=tuple(rows)) for title, rows in found]


def _group_of(name: str) -> str:
    for title, fields in run_columns.GROUPS.items():
        if name in fields:
            return title
    starts = {"configuration.": "Configuration", "task.": "Task", "scores.": "Result"}
    starts |= {"costs.": "Costs", "origin.": "Record", "versions.": "Record", "dataset_": "Task"}
    return next((title for start, title in starts.items() if name.startswith(start)), _OTHER)


def _row(name: str, values: Sequence[Any], *, differs: bool) -> run_contexts.ComparedRow:
    best = _best(name, values) if differs else None
    return run_contexts.ComparedRow(
        title=run_columns.title_of(name),
        field=name,
        cells=tuple(
            _cell(name, value, is_best=best is not None and value == best) for value in values
        ),
        differs=differs,
    )


def _cell(name: str, value: Any, *, is_best: bool) -> Cell:
    shown = run_columns.cell(name, value)
    return Cell(**(vars(shown) | {"is_best": is_best}))


def _best(name: str, values: Sequence[Any]) -> Any:
    """Return the best value of a row, None where no value is better than another."""
    direction = run_columns.direction(name)
    known = [value for value in values if isinstance(value, int | float)]
    if not direction or len(known) < 2:
        return None
    return max(known) if direction > 0 else min(known)


def _measures(curves: Curves) -> list[str]:
    """Return what was measured at several steps of some run, training last."""
    counted: dict[str, int] = {}
    for curve in curves.values():
        for measurement in curve:
            name = name_of(measurement)
            counted[name] = counted.get(name, 0) + 1
    several = [name for name, count in counted.items() if count > 1]
    return sorted(several, key=lambda name: (name.startswith("train"), name))


def _usual(measures: Sequence[str]) -> str:
    losses = [name for name in measures if name.endswith("loss")]
    usual = [USUAL_MEASURE] if USUAL_MEASURE in measures else losses
    return next(iter([*usual, *measures]), "")


def _plot(runs: Sequence[Run], curves: Curves, measure: str) -> Plot:
    title = f"{wording.capitalised(measure)} over optimizer steps"
    points = {run.id: _points(curves[run.id], measure) for run in runs}
    is_thinned = any(len(_of(curves[run.id], measure)) > MOST_POINTS for run in runs)
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers" if len(points[run.id]) <= 40 else "lines",
            "name": figures.text(f"{number}. {_words(run)}"),
            "x": [m.step for m in points[run.id]],
            "y": [m.value for m in points[run.id]],
            "line": figures.series_line(number),
            "marker": {"size": 5, "color": figures.series_colour(number)},
            "hovertemplate": "%{fullData.name}<br>step %{x:,}: %{y:.4~g}<extra></extra>",
        }
        for number, run in enumerate(runs, 1)
    ]
    return Plot(
        id="curves",
        title=title,
        label=f"{title} of {len(runs)} runs.",
        figure={
            "traces": traces,
            "layout": {
                "xaxis": {"title": {"text": "Optimizer step"}, "rangemode": "tozero"},
                "yaxis": {"title": {"text": figures.text(wording.capitalised(measure))}},
                "hovermode": "closest",
                "showlegend": False,
            },
        },
        headings=(
            tables.heading("Run"),
            tables.heading("Points", is_number=True),
            *(tables.heading(word, is_number=True) for word in ("First", "Lowest", "At step")),
            *(tables.heading(word, is_number=True) for word in ("Highest", "Last")),
        ),
        rows=tuple(_summary(run, number, points[run.id]) for number, run in enumerate(runs, 1)),
        note=f"Curves are thinned to {MOST_POINTS:,} points each." if is_thinned else "",
    )


def _of(curve: Sequence[Measurement], measure: str) -> list[Measurement]:
    return sorted((m for m in curve if name_of(m) == measure), key=lambda m: m.step)


def _points(curve: Sequence[Measurement], measure: str) -> tuple[Measurement, ...]:
    return thinned(_of(curve, measure))


def _summary(run: Run, number: int, points: Sequence[Measurement]) -> tuple[Cell, ...]:
    first = tables.run_cell(run.id, f"{number}. {_words(run)}")
    if not points:
        return (first, tables.number(0), *(tables.number(None) for _ in range(5)))
    lowest, highest = min(points, key=lambda m: m.value), max(points, key=lambda m: m.value)
    return (
        first,
        tables.number(len(points)),
        tables.number(points[0].value),
        tables.number(lowest.value),
        tables.number(lowest.step),
        tables.number(highest.value),
        tables.number(points[-1].value),
    )


def _words(run: Run) -> str:
    method = wording.capitalised(wording.method(run.configuration.method.name))
    return f"{method} on {run.task.dataset.name}"
