"""Which knobs of a configuration matter for its score."""

from collections.abc import Sequence

from metadata.errors import TooFewRuns
from metadata.showing.importance import Importance, Knob, importance
from service import wording
from service.pages import contexts, run_columns
from service.pages.plots import figures, tables
from service.pages.plots.spec import Chart, Drawn, Question
from service.pages.run_columns import Cell
from service.pages.run_contexts import Plot, Select

MOST_DRAWN = 20  # knobs
QUICK_RUNS = 20_000  # of more, reading alone takes long: they are weighed when asked for
_TOGETHER, _EACH = "together", "each"


def _draw(question: Question) -> Drawn:
    chosen = question.choice("datasets", "")
    each = chosen == _EACH
    count = 0 if chosen else question.browser.count(question.view)
    if count > QUICK_RUNS:
        return _refused(
            f"To weigh the knobs of {count:,} runs can take a minute. Narrow the filter, or choose "
            "Show to weigh them all.",
            each=each,
        )
    try:
        found = importance(question.browser, question.view, by_dataset=each)
    except TooFewRuns as error:
        return _refused(str(error), each=each)
    over_all, *apart = found
    names = _dataset_names(question) if each else {}
    plots = [_bars(over_all)]
    if each:
        plots.append(_heatmap(over_all, apart, names))
    return Drawn(
        plots=tuple(plots),
        figures=contexts.rows(
            ("Runs learnt from", f"{over_all.runs:,}"),
            ("Explained", f"{100 * max(over_all.explained, 0):.0f} %"),
            ("Datasets apart", f"{len(apart):,}" if each else ""),
        ),
        selects=(_select(each=each),),
    )


def _select(*, each: bool) -> Select:
    return Select(
        name="datasets",
        label="Datasets",
        value=_EACH if each else _TOGETHER,
        options=(
            contexts.Row(name=_TOGETHER, value="all together"),
            contexts.Row(name=_EACH, value="each apart too"),
        ),
    )


def _refused(why: str, *, each: bool) -> Drawn:
    """Return no figure, and why."""
    nothing = Plot(
        id="knobs",
        title="Importance of knobs",
        label="",
        figure=None,
        headings=(),
        rows=(),
        note=why,
    )
    return Drawn(plots=(nothing,), selects=(_select(each=each),))


def _dataset_names(question: Question) -> dict[str, str]:
    """Return a name for each group of datasets: those of one group are cuts of the same."""
    rows = question.browser.columns(
        question.view, ["dataset_group", "dataset_name"], in_order=False
    )
    found: dict[str, str] = {}
    for _, group, name in rows:
        found[group] = min(name, found.get(group, name))
    return found


def _bars(found: Importance) -> Plot:
    shown = list(reversed(found.knobs[:MOST_DRAWN]))
    trace = {
        "type": "bar",
        "orientation": "h",
        "x": [_percent(knob.importance) for knob in shown],
        "y": list(range(len(shown))),
        "marker": {"color": "--accent"},
        "error_x": {
            "type": "data",
            "array": [_percent(knob.spread) for knob in shown],
            "color": "--line-strong",
            "thickness": 1.25,
            "width": 3,
        },
        "text": [figures.text(_words(knob.name)) for knob in shown],
        "textposition": "none",
        "hovertemplate": "%{text}<br>%{x:.3~g} %<extra></extra>",
    }
    layout = {
        "xaxis": {"title": {"text": "Share of the variance lost without it, percent"}},
        "yaxis": figures.named_axis([_words(knob.name) for knob in shown]),
        "hovermode": "closest",
        "showlegend": False,
        "bargap": 0.35,
    }
    return Plot(
        id="knobs",
        title="Importance of knobs, all datasets",
        label=f"Importance of {len(shown)} knobs over all datasets.",
        figure={"traces": [trace], "layout": layout},
        headings=(
            tables.heading("Knob"),
            *(tables.heading(word, is_number=True) for word in ("Importance", "Spread")),
            *(tables.heading(word, is_number=True) for word in ("Values", "Runs")),
        ),
        rows=tuple(_row(knob) for knob in found.knobs),
        note=found.advice,
        size="plot-named plot-tall" if len(shown) > 12 else "plot-named",
    )


def _row(knob: Knob) -> tuple[Cell, ...]:
    return (
        Cell(text=_words(knob.name)),
        Cell(text=_said(knob.importance), kind="number"),
        Cell(text=_said(knob.spread), kind="number"),
        tables.number(knob.values),
        tables.number(knob.runs),
    )


def _heatmap(over_all: Importance, apart: Sequence[Importance], names: dict[str, str]) -> Plot:
    knobs = [knob.name for knob in over_all.knobs[:MOST_DRAWN]]
    columns = [("All", over_all), *((names.get(one.dataset or "", "?"), one) for one in apart)]
    shares = [{knob.name: knob.importance for knob in one.knobs} for _, one in columns]
    largest = max((share for one in shares for share in one.values()), default=0.0)
    trace = {
        "type": "heatmap",
        "x": list(range(len(columns))),
        "y": list(range(len(knobs))),
        "z": [[_percent(share.get(name)) for share in shares] for name in reversed(knobs)],
        "colorscale": [[0, "--card"], [0.15, "--accent-soft"], [1, "--accent"]],
        "zmin": 0,
        "zmax": max(_percent(largest) or 0.0, 1.0),
        "xgap": 2,
        "ygap": 2,
        "hovertemplate": "%{z:.3~g} %<extra></extra>",
        "colorbar": {"thickness": 10, "outlinewidth": 0, "tickfont": {"color": "--muted"}},
    }
    layout = {
        "xaxis": figures.named_axis([name for name, _ in columns], side="top", tickangle=-35),
        "yaxis": figures.named_axis([_words(name) for name in reversed(knobs)]),
    }
    return Plot(
        id="apart",
        title="Importance of knobs, each dataset apart",
        label=f"Importance of {len(knobs)} knobs on {len(apart)} datasets, as shades.",
        figure={"traces": [trace], "layout": layout},
        headings=(
            tables.heading("Knob"),
            *(tables.heading(name, is_number=True) for name, _ in columns),
        ),
        rows=tuple(
            (
                Cell(text=_words(name)),
                *(Cell(text=_said(share.get(name)), kind="number") for share in shares),
            )
            for name in knobs
        ),
        note="Datasets of too few runs are left out. " + _rough(apart),
        size="plot-wide plot-tall",
    )


def _rough(apart: Sequence[Importance]) -> str:
    rough = sum(bool(one.advice) for one in apart)
    return f"The figures of {rough} of the {len(apart)} are rough." if rough else ""


def _words(name: str) -> str:
    """Say a knob: its title, and whose it is where it is an entry's own."""
    blocks = {"configuration.method.name": "Method", "configuration.optimizer.name": "Optimizer"}
    blocks |= {"configuration.schedule.name": "Schedule"}
    return blocks.get(name) or run_columns.title_of(name)


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 3)


def _said(share: float | None) -> str:
    return wording.DASH if share is None else f"{wording.decimal(100 * share, 1)} %"


CHART = Chart(
    name="knobs",
    title="Knobs",
    lead="How much worse the place of a run among those of its task can be told when a knob's "
    "value is shuffled. Knobs that always move together share their importance.",
    draw=_draw,
    choices=("datasets",),
)
