"""Answers, jobs and runs as a person likes to read them in a terminal.

Text from outside is never read as markup or as control sequences: it passes through `plain`.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from metadata.records import Configuration, Run
from service import wording
from service.recommender.schemas import (
    Interval,
    RecommendationAnswer,
    RecommendedConfiguration,
)

PIPED_WIDTH = 120  # columns where there is no terminal to ask
WIDE = 110  # columns from which rate and batch get columns of their own
FRONT = "None is better in regret, time and memory at once"
_STATE_STYLES = {
    "succeeded": "green",
    "running": "blue",
    "queued": "dim",
    "failed": "red",
    "diverged": "red",
    "out_of_memory": "red",
    "timed_out": "yellow",
    "paused": "yellow",
    "cancelled": "yellow",
}


def make_console(*, stderr: bool = False) -> Console:
    """Return a console that prints what it is given and guesses no colours for numbers."""
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in console._environ:
        console.width = PIPED_WIDTH
    return console


def plain(text: str, style: str = "") -> Text:
    """Return text with control characters made visible, so that no file name can steer."""
    return Text("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text), style)


def answer_view(
    answer: RecommendationAnswer, *, width: int, shows_front: bool = False
) -> RenderableType:
    """Return an answer: the first pick in words, the table, the reasons and the evidence.

    With `shows_front` also what no candidate beats in regret, time and memory at once.
    """
    best = answer.configurations[0]
    return Group(
        Text(),
        Text.assemble(
            ("Start with ", "bold"), (f"{wording.sentence(best.configuration)}.", "bold")
        ),
        Text(),
        _answer_table(answer, is_wide=width >= WIDE),
        *_section(FRONT, [_front_table(answer, is_wide=width >= WIDE)] if shows_front else []),
        *_section("Why number 1", _reasons(best)),
        *_section("What this stands on", _evidence(answer)),
        *_section("Left out", _excluded(answer)),
    )


def runs_view(runs: Sequence[Run]) -> RenderableType:
    """Return runs as a table."""
    table = make_table("Run", "Dataset", "Model", "Method", "State", right=("Nats gained", "Time"))
    for run in runs:
        configuration, costs = run.configuration, run.costs
        table.add_row(
            plain(run.id),
            plain(run.task.dataset.name),
            plain(run.task.model.id),
            _method(run.configuration.method.name, wording.method_values(configuration)),
            state(run.state),
            wording.decimal(run.score, 3),
            wording.DASH if costs is None else wording.duration(costs.train_seconds),
        )
    return table


def run_view(run: Run, said: Mapping[str, str] = MappingProxyType({})) -> RenderableType:
    """Return one run with all that a person asks first, and what was said of it."""
    pairs = [
        ("Run", plain(run.id)),
        ("State", state(run.state)),
        ("Reason", plain(run.reason)),
        ("Model", plain(run.task.model.id)),
        ("Dataset", plain(f"{run.task.dataset.name}, {run.task.dataset.examples:,} examples")),
        ("Device", plain(run.task.device.name)),
        ("Configuration", plain(wording.sentence(run.configuration))),
        *((name, Text(value)) for name, value in wording.run_figures(run)),
        ("Origin", plain(run.origin.source)),
        ("Left open", plain(wording.left_open(run))),
        ("Finished", Text(wording.date(run.created_at))),
        *((name, plain(value)) for name, value in said.items()),
    ]
    return _pairs(pairs)


def pairs_view(pairs: Mapping[str, str | Text]) -> RenderableType:
    """Return names with their values; what has none is left out."""
    return _pairs([(k, v if isinstance(v, Text) else plain(v)) for k, v in pairs.items()])


def lines(texts: Iterable[str], style: str = "") -> Text:
    """Return one line of plain text under another."""
    return Text("\n").join(plain(text, style) for text in texts)


def rows_view(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> RenderableType:
    """Return rows of plain text as a table; a column named State is coloured."""
    table = make_table(*columns)
    for row in rows:
        cells = zip(columns, row, strict=True)
        table.add_row(*(state(v) if name == "State" else plain(v) for name, v in cells))
    return table


def state(name: str) -> Text:
    """Return a state in its colour."""
    return plain(name.replace("_", " "), _STATE_STYLES.get(name, ""))


def _answer_table(answer: RecommendationAnswer, *, is_wide: bool) -> Table:
    figures = (*_own(is_wide), "Regret (90 %)", "Beats\ndefault", "Time", "Memory", "Cost")
    table = make_table("", "Method", right=figures)
    for option in answer.configurations:
        cells = _cells(option, is_wide=is_wide)
        table.add_row(str(option.rank), *cells, style="" if option.rank > 1 else "bold")
    table.add_section()
    usual = _cells(answer.default, is_wide=is_wide, name="the usual default")
    table.add_row(Text("vs", "dim"), *usual)
    return table


def _front_table(answer: RecommendationAnswer, *, is_wide: bool) -> Table:
    """Return what no candidate beats; those that are listed too with their rank."""
    table = make_table("", "Method", right=(*_own(is_wide), "Regret", "Time", "Memory", "Cost"))
    for point in answer.front:
        table.add_row(
            str(point.rank or ""),
            *_chosen(point.configuration, is_wide=is_wide),
            wording.decimal(point.expected_regret),
            wording.duration(point.train_seconds.expected),
            wording.size(point.peak_memory_bytes.expected),
            wording.money(point.cost_usd),
        )
    return table


def _cells(
    option: RecommendedConfiguration, *, is_wide: bool, name: str = ""
) -> list[RenderableType]:
    quality = option.quality
    interval = _between(quality.low, quality.high)
    memory = wording.size(option.peak_memory_bytes.expected)
    return [
        *_chosen(option.configuration, is_wide=is_wide, name=name),
        ("  " if is_wide else "\n").join((wording.decimal(quality.expected_regret), interval)),
        wording.percent(quality.beats_default_probability),
        wording.duration(option.train_seconds.expected),
        memory if option.fits else Text(f"{memory}\ndoes not fit", "red"),
        wording.money(option.cost_usd),
    ]


def _own(is_wide: bool) -> tuple[str, ...]:
    """Return the columns of rate and batch, where there is room for them."""
    return ("Rate", f"Batch {wording.TIMES} epochs") if is_wide else ()


def _chosen(configuration: Configuration, *, is_wide: bool, name: str = "") -> list[RenderableType]:
    rate = wording.rate(configuration.optimizer.learning_rate)
    batch = f"{configuration.batch_size} {wording.TIMES} {configuration.epochs:.3g}"
    own = () if is_wide else (f"{rate}, {batch} epochs",)
    lines = [wording.method_values(configuration), wording.targets(configuration), *own]
    return [
        _method(name or configuration.method.name, "\n".join(line for line in lines if line)),
        *([rate, batch] if is_wide else []),
    ]


def _method(name: str, values: str) -> Text:
    title = wording.method(name)
    return Text.assemble(title, "\n", (values, "not bold dim")) if values else Text(title)


def _between(low: float, high: float) -> str:
    return f"{wording.decimal(low)}{wording.DASH}{wording.decimal(high)}"


def _reasons(option: RecommendedConfiguration) -> list[RenderableType]:
    lines: list[RenderableType] = [
        Text(f"It {wording.source(option.why.source)}."),
        Text(
            f"Time {_span(option.train_seconds, wording.duration)}, "
            f"memory {_span(option.peak_memory_bytes, wording.size)} (90 %); "
            f"{option.steps:,} steps, micro-batch {option.micro_batch_size}, "
            f"{wording.quantity(option.trainable_parameters)} trained weights."
        ),
    ]
    if option.why.effects:
        lines.append(Text("Against the default's choices, regret changes by"))
    for effect in option.why.effects:
        style = "green" if effect.regret_change < 0 else "red"
        change = (f"{wording.change(effect.regret_change):>8}", style)
        lines.append(Text.assemble(change, "  ", plain(wording.effect(effect))))
    if option.why.nearest_runs:
        lines.append(Text("Nearest past runs"))
    for run in option.why.nearest_runs:
        place = f"{run.run_id}  {run.dataset} on {run.model}, regret {wording.decimal(run.regret)}"
        lines.append(Text.assemble("  ", plain(place)))
    return lines


def _evidence(answer: RecommendationAnswer) -> list[RenderableType]:
    evidence = answer.evidence
    style = "" if evidence.in_distribution else "yellow"
    far = ", ".join(wording.feature(name) for name in evidence.farthest)
    lines: list[RenderableType] = [
        Text(wording.evidence_headline(evidence), style),
        plain(evidence.advice),
        Text(f"Distance {wording.decimal(evidence.distance, 1)} (1 is usual between known tasks)."),
    ]
    if far:
        lines.append(plain(f"Most unlike in: {far}."))
    return lines


def _excluded(answer: RecommendationAnswer) -> list[RenderableType]:
    return [
        plain(f"{exclusion.count:,}: {exclusion.rule}. {wording.capitalised(exclusion.next_step)}")
        for exclusion in answer.excluded
    ]


def _span(interval: Interval, words: wording.Words) -> str:
    low, high = words(interval.low), words(interval.high)
    return low if low == high else f"{low} to {high}"


def _section(title: str, lines: Sequence[RenderableType]) -> list[RenderableType]:
    if not lines:
        return []
    return [Text(), Text(title, "bold"), *(Padding(line, (0, 0, 0, 2)) for line in lines)]


def make_table(*columns: str, right: Sequence[str] = ()) -> Table:
    """Return an empty table; text folds in all columns but the first and those of numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, header_style="dim")
    for name in columns:  # the first names the row and is copied from here: never folded
        table.add_column(name, overflow="fold", no_wrap=name == columns[0])
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _pairs(pairs: Sequence[tuple[str, Text]]) -> Table:
    table: Table = Table.grid(padding=(0, 3))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    shown: list[tuple[Any, ...]] = [pair for pair in pairs if pair[1].plain]
    for pair in shown:
        table.add_row(*pair)
    return table
