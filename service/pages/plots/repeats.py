"""Configurations that were run again: how far scores differ by the seed alone."""

from collections.abc import Sequence

from metadata.showing.repeats import Repeats, repeated
from service import wording
from service.pages import contexts, urls
from service.pages.plots import figures, tables
from service.pages.plots.spec import Chart, Drawn, Question
from service.pages.run_columns import Cell
from service.pages.run_contexts import Plot
from service.runs.parameters import equal_to

MOST_DRAWN, MOST_ROWS = 40, 200


def _draw(question: Question) -> Drawn:
    found = repeated(question.browser, question.view)
    return Drawn(
        plots=(_plot(found.groups),),
        figures=contexts.rows(
            ("Noise of one run, in nats", wording.decimal(found.noise, 3)),
            ("Degrees of freedom", f"{found.degrees_of_freedom:,}"),
            ("Repeated configurations", f"{len(found.groups):,}"),
            ("Runs looked at", f"{found.runs:,}"),
        ),
    )


def _plot(groups: Sequence[Repeats]) -> Plot:
    shown = [one for one in groups if one.mean is not None][:MOST_DRAWN]
    shown.sort(key=lambda one: one.mean or 0.0)
    return Plot(
        id="repeats",
        title="Scores of repeated configurations",
        label=f"Mean and range of the scores of {len(shown)} repeated configurations.",
        figure=_figure(shown) if shown else None,
        headings=(
            tables.heading("Configuration"),
            *(tables.heading(word, is_number=True) for word in ("Runs", "Failed")),
            *(tables.heading(word, is_number=True) for word in ("Mean", "Spread")),
            *(tables.heading(word, is_number=True) for word in ("Lowest", "Highest")),
            tables.heading("Seeds"),
        ),
        rows=tuple(_row(one) for one in groups[:MOST_ROWS]),
        note=_note(groups, shown=len(shown)),
        size="plot-named plot-tall" if len(shown) > 15 else "plot-named",
    )


def _note(groups: Sequence[Repeats], *, shown: int) -> str:
    if not groups:
        return "No configuration here was run more than once on the same task."
    left_out = f"{shown} of {len(groups):,} are drawn, those run most often."
    return left_out if shown < len(groups) else ""


def _figure(groups: Sequence[Repeats]) -> figures.Figure:
    means = [one.mean or 0.0 for one in groups]
    places = list(range(len(groups)))
    above = [(one.highest or mean) - mean for one, mean in zip(groups, means, strict=True)]
    below = [mean - (one.lowest or mean) for one, mean in zip(groups, means, strict=True)]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": means,
        "y": places,
        "marker": {"color": "--accent", "size": 8},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": above,
            "arrayminus": below,
            "color": "--line-strong",
            "thickness": 1.5,
            "width": 4,
        },
        "customdata": [one.run_ids[0] for one in groups],
        "text": [figures.text(f"{_words(one)}, {len(one.run_ids)} runs") for one in groups],
        "hovertemplate": "%{text}<br>mean %{x:.4~g}<extra></extra>",
    }
    return {
        "traces": [trace],
        "layout": {
            "xaxis": figures.axis("score"),
            "yaxis": figures.named_axis([_words(one) for one in groups]),
            "hovermode": "closest",
            "showlegend": False,
        },
    }


def _row(group: Repeats) -> tuple[Cell, ...]:
    same = {
        "configuration_key": group.configuration_key,
        "dataset_name": group.dataset_name,
        "model_id": group.model_id,
    }
    link = urls.runs({"filter": equal_to(same)})
    return (
        Cell(text=_words(group), link=link),
        tables.number(len(group.run_ids)),
        tables.number(group.failed),
        *(tables.number(value, "score") for value in (group.mean, group.spread)),
        *(tables.number(value, "score") for value in (group.lowest, group.highest)),
        Cell(text=", ".join(map(str, group.seeds[:12]))),
    )


def _words(group: Repeats) -> str:
    return f"{wording.capitalised(wording.method(group.method))} on {group.dataset_name}"


CHART = Chart(
    name="repeats",
    title="Noise",
    lead="The same configuration on the same task, again with another seed. "
    "Two configurations that differ by less than this noise are not told apart by one run each.",
    draw=_draw,
)
