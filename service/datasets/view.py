"""Problems of a training file as a person likes to read them in a terminal."""

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from metadata.data_check.problems import Problem, RuleCount, Summary
from service import terminal

_STYLES = {"error": "red", "warning": "yellow", "errors": "red", "warnings": "yellow"}
_VERDICTS = {
    "clean": "Nothing is wrong.",
    "warnings": "It can be trained on; see the warnings.",
    "errors": "Mend the errors first.",
}


def check_view(problems: Sequence[Problem], summary: Summary) -> RenderableType:
    """Return the problems rule by rule, errors first, and the summary."""
    sections = [_section(count, problems) for count in summary.counts]
    verdict = Text(_VERDICTS[summary.verdict], style=_STYLES.get(summary.verdict, "green"))
    return Group(*sections, terminal.pairs_view(_pairs(summary)), Text(), verdict)


def _section(count: RuleCount, problems: Sequence[Problem]) -> RenderableType:
    shown = [problem for problem in problems if problem.rule == count.rule]
    title = Text.assemble(
        (count.severity, _STYLES[count.severity]),
        " ",
        (count.rule, "bold"),
        f": {shown[0].message}",
    )
    lines = [*map(_line, shown), *_more(count.lines - len(shown))]
    body = Group(*lines, Text(f"{shown[0].fix}", style="dim"))
    return Group(title, Padding(body, (0, 0, 1, 2)))


def _line(problem: Problem) -> Text:
    place = f"line {problem.line:,}"
    place += "" if problem.column is None else f", column {problem.column:,}"
    place += "" if problem.part == "training" else " of the validation file"
    times = f" (and {problem.times - 1:,} more in this line)" if problem.times > 1 else ""
    mended = " [repaired]" if problem.is_repaired else ""
    return terminal.plain(f"{place}: {problem.seen}{times}{mended}")


def _more(count: int) -> Iterator[Text]:
    if count:
        yield Text(f"and {count:,} more lines; --json lists all")


def _pairs(summary: Summary) -> Mapping[str, str]:
    tokens = summary.tokens
    about = "about " if tokens.is_estimated else ""
    pairs = {
        "Lines": f"{summary.lines:,}",
        "Examples": f"{summary.examples:,}",
        "Forms": ", ".join(f"{name} {count:,}" for name, count in summary.forms.items()),
        "Tokens": f"{about}{tokens.total:,} by {tokens.counted_by}",
        "Longest": f"{about}{tokens.longest:,} tokens, line {tokens.longest_line:,}",
    }
    if tokens.context_tokens is not None:
        pairs["Context"] = f"{tokens.context_tokens:,} tokens"
    if summary.validation_examples is not None:
        pairs["Validation"] = f"{summary.validation_examples:,} examples"
    if summary.repaired:
        pairs["Repaired"] = f"{summary.repaired:,} problems"
    return pairs | {f"Note {n}": note for n, note in enumerate(summary.notes, start=1)}
