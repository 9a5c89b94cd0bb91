"""Why runs failed, and how often each method did."""

from collections.abc import Sequence

from metadata.showing.failures import Failure, Failures, failures
from service import wording
from service.pages import contexts, run_columns
from service.pages.plots import figures, tables
from service.pages.plots.spec import Chart, Drawn, Question
from service.pages.run_columns import Cell
from service.pages.run_contexts import Plot

MOST_DRAWN, MOST_ROWS = 20, 200


def _draw(question: Question) -> Drawn:
    found = failures(question.browser, question.view)
    share = f"{100 * found.failed / found.runs:.1f} %" if found.runs else ""
    return Drawn(
        plots=(_reasons(found.reasons), _methods(found)),
        figures=contexts.rows(
            ("Runs", f"{found.runs:,}"),
            ("Failed", f"{found.failed:,}"),
            ("Share", share),
            ("Reasons", f"{len(found.reasons):,}"),
        ),
    )


def _reasons(reasons: Sequence[Failure]) -> Plot:
    shown = list(reversed(reasons[:MOST_DRAWN]))
    words = [f"{run_columns.state_words(one.state)}: {one.reason or 'no reason'}" for one in shown]
    return Plot(
        id="reasons",
        title="Runs that failed, by reason",
        label=f"How many runs failed for each of {len(shown)} reasons.",
        figure=_bars([one.runs for one in shown], words, title="Runs", colour="--series-7")
        if shown
        else None,
        headings=(
            tables.heading("State"),
            tables.heading("Reason, # for a number"),
            tables.heading("Runs", is_number=True),
            tables.heading("Methods"),
            tables.heading("For example"),
        ),
        rows=tuple(_row(one) for one in reasons[:MOST_ROWS]),
        note="" if reasons else "No run here failed.",
        size="plot-named plot-short" if len(shown) < 6 else "plot-named",
    )


def _row(failure: Failure) -> tuple[Cell, ...]:
    methods = (
        f"{wording.method(name)} {count:,}" for name, count in failure.methods.most_common(4)
    )
    return (
        run_columns.cell("state", failure.state),
        Cell(text=run_columns.shortened(failure.reason or wording.DASH)),
        tables.number(failure.runs),
        Cell(text=", ".join(methods)),
        tables.run_cell(failure.run_ids[0]),
    )


def _methods(found: Failures) -> Plot:
    tried = sorted(found.failed_by_method.items(), key=lambda item: item[1][0] / item[1][1])
    failed = [(name, counts) for name, counts in tried if counts[0]][-MOST_DRAWN:]
    words = [
        f"{wording.capitalised(wording.method(name))}, {all_:,} runs" for name, (_, all_) in failed
    ]
    shares = [100 * count / all_ for _, (count, all_) in failed]
    return Plot(
        id="methods",
        title="Share that failed, by method",
        label=f"Percentage of runs that failed, for {len(failed)} methods.",
        figure=_bars(shares, words, title="Percent", colour="--series-2") if failed else None,
        headings=(
            tables.heading("Method"),
            *(tables.heading(word, is_number=True) for word in ("Runs", "Failed", "Share")),
        ),
        rows=tuple(
            (
                tables.method_cell(name),
                tables.number(all_),
                tables.number(count),
                Cell(text=f"{100 * count / all_:.1f} %", kind="number"),
            )
            for name, (count, all_) in reversed(tried)
        ),
        note="" if tried else "There is no run here.",
        size="plot-named plot-short" if len(failed) < 6 else "plot-named",
    )


def _bars(
    values: Sequence[float], words: Sequence[str], *, title: str, colour: str
) -> figures.Figure:
    trace = {
        "type": "bar",
        "orientation": "h",
        "x": list(values),
        "y": list(range(len(values))),
        "marker": {"color": colour},
        "text": [figures.text(word, longest=120) for word in words],
        "textposition": "none",
        "hovertemplate": "%{text}<br>%{x:.3~g}<extra></extra>",
    }
    return {
        "traces": [trace],
        "layout": {
            "xaxis": {"title": {"text": title}, "rangemode": "tozero"},
            "yaxis": figures.named_axis(words),
            "hovermode": "closest",
            "showlegend": False,
            "bargap": 0.35,
        },
    }


CHART = Chart(
    name="failures",
    title="Failures",
    lead="A failed run is knowledge too. Reasons that differ in their numbers alone are counted "
    "as one.",
    draw=_draw,
)
