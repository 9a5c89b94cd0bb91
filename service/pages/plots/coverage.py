"""What of the space of configurations was tried, and what never was."""

from collections.abc import Sequence
from math import log

from metadata.showing.coverage import Coverage, KnobCoverage, coverage
from service import wording
from service.pages import contexts, run_columns
from service.pages.plots import figures, tables
from service.pages.plots.spec import Chart, Drawn, Question
from service.pages.run_columns import Cell
from service.pages.run_contexts import Plot

MOST_DRAWN = 30
RATIO = "rate_ratio"


def _draw(question: Question) -> Drawn:
    found = coverage(question.browser, question.view)
    tried, left = len(found.methods), len(found.untried_methods)
    return Drawn(
        plots=(_knobs(found.knobs), _methods(found)),
        figures=contexts.rows(
            ("Runs", f"{found.runs:,}"),
            ("Methods tried", f"{tried} of {tried + left}"),
            ("Knobs seen", f"{len(found.knobs):,}"),
        ),
    )


def _knobs(knobs: Sequence[KnobCoverage]) -> Plot:
    ranged = [one for one in knobs if one.share is not None and one.space_low is not None]
    shown = sorted(ranged, key=lambda one: -one.runs)[:MOST_DRAWN][::-1]
    return Plot(
        id="ranges",
        title="Range of each knob that was tried",
        label=f"The part of the range of {len(shown)} knobs in which runs lie.",
        figure=_figure(shown) if shown else None,
        headings=(
            tables.heading("Knob"),
            tables.heading("Of"),
            *(tables.heading(word, is_number=True) for word in ("Runs", "Values", "Covered")),
            tables.heading("Seen"),
            tables.heading("In the space"),
        ),
        rows=tuple(_row(one) for one in knobs),
        note=_note(len(shown), len(ranged)),
        size="plot-named plot-tall" if len(shown) > 12 else "plot-named",
    )


def _note(shown: int, ranged: int) -> str:
    if not ranged:
        return "No run here has a knob with a range."
    return "" if shown == ranged else f"{shown} of {ranged} are drawn, those of most runs."


def _figure(knobs: Sequence[KnobCoverage]) -> figures.Figure:
    places = list(range(len(knobs)))
    spans = [_span(one) for one in knobs]
    whole = {
        "type": "bar",
        "orientation": "h",
        "x": [100] * len(knobs),
        "y": places,
        "marker": {"color": "--sunken"},
        "hoverinfo": "skip",
        "name": "range",
    }
    seen = {
        "type": "bar",
        "orientation": "h",
        "base": [100 * low for low, _ in spans],
        "x": [max(100 * (high - low), 0.6) for low, high in spans],
        "y": places,
        "marker": {"color": "--accent"},
        "text": [figures.text(f"{_words(one)}: {_seen(one)} of {_space(one)}") for one in knobs],
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
        "name": "tried",
    }
    return {
        "traces": [whole, seen],
        "layout": {
            "barmode": "overlay",
            "bargap": 0.45,
            "xaxis": {"title": {"text": "Part of the range, percent"}, "range": [0, 100]},
            "yaxis": figures.named_axis([_words(one) for one in knobs]),
            "hovermode": "closest",
            "showlegend": False,
        },
    }


def _span(knob: KnobCoverage) -> tuple[float, float]:
    """Return where the values seen begin and end in the range, from 0 to 1."""
    assert knob.space_low is not None
    assert knob.space_high is not None
    start, end = knob.space_low, knob.space_high
    if end <= start:
        return 0.0, 1.0

    def place(value: float) -> float:
        inside = min(max(value, start), end)
        if knob.is_log:
            return log(inside / start) / log(end / start)
        return (inside - start) / (end - start)

    low, high = knob.low, knob.high
    return (0.0, 0.0) if low is None or high is None else (place(low), place(high))


def _row(knob: KnobCoverage) -> tuple[Cell, ...]:
    return (
        Cell(text=_title(knob)),
        Cell(text=_owner(knob)),
        tables.number(knob.runs),
        tables.number(knob.distinct),
        Cell(text=_percent(knob.share), kind="number"),
        Cell(text=_seen(knob)),
        Cell(text=_space(knob)),
    )


def _percent(share: float | None) -> str:
    return wording.DASH if share is None else f"{100 * share:.0f} %"


def _seen(knob: KnobCoverage) -> str:
    if knob.low is not None and knob.high is not None:
        return f"{knob.low:.3g} to {knob.high:.3g}"
    said = ", ".join(knob.values)
    return run_columns.shortened(said) if said else wording.DASH


def _space(knob: KnobCoverage) -> str:
    if knob.space_low is not None and knob.space_high is not None:
        return f"{knob.space_low:.3g} to {knob.space_high:.3g}"
    if not knob.unseen:
        return wording.DASH
    return run_columns.shortened(f"never: {', '.join(knob.unseen)}")


def _title(knob: KnobCoverage) -> str:
    return "Rate over the usual one" if knob.name == RATIO else run_columns.title_of(knob.name)


def _owner(knob: KnobCoverage) -> str:
    if knob.entry is None:
        return "all"
    if knob.name.startswith("configuration.method."):
        return wording.method(knob.entry)
    return knob.entry.replace("_", " ")


def _words(knob: KnobCoverage) -> str:
    return _title(knob) if knob.entry is None else f"{_title(knob)}, {_owner(knob)}"


def _methods(found: Coverage) -> Plot:
    names = list(reversed(found.methods))[-MOST_DRAWN:]
    counts = [found.methods[name] for name in names]
    places = list(range(len(names)))
    kinds = (
        ("scored", [one.scored for one in counts], "--accent"),
        ("not scored", [one.runs - one.scored for one in counts], "--warn-line"),
    )
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": title,
            "x": values,
            "y": places,
            "marker": {"color": colour},
            "hovertemplate": f"{title}: %{{x:,}}<extra></extra>",
        }
        for title, values, colour in kinds
    ]
    layout = {
        "barmode": "stack",
        "bargap": 0.35,
        "xaxis": {"title": {"text": "Runs"}},
        "yaxis": figures.named_axis([wording.method(name) for name in names]),
        "hovermode": "closest",
    }
    untried = ", ".join(wording.method(name) for name in found.untried_methods)
    return Plot(
        id="tried",
        title="Runs of each method",
        label=f"How many runs each of {len(names)} methods has.",
        figure={"traces": traces, "layout": layout} if names else None,
        headings=(
            tables.heading("Method"),
            *(tables.heading(word, is_number=True) for word in ("Runs", "Failed", "Scored")),
        ),
        rows=tuple(
            (
                tables.method_cell(name),
                *(tables.number(count) for count in (one.runs, one.failed, one.scored)),
            )
            for name, one in found.methods.items()
        ),
        note=f"Never tried: {untried}." if untried else "",
        size="plot-named plot-tall" if len(names) > 12 else "plot-named",
    )


CHART = Chart(
    name="coverage",
    title="Coverage",
    lead="What of the space of configurations was tried. What lies outside of it, or was never "
    "tried, is forecast from less.",
    draw=_draw,
)
