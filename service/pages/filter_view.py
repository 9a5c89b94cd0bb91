"""From what an address asks to the form above every view of runs."""

import re
from collections.abc import Iterator
from itertools import groupby

from metadata.errors import PeftwiseError
from metadata.methods import METHODS
from metadata.query.errors import BadFilter
from service import wording
from service.catalogue.answers import FAMILY_OF
from service.pages import contexts, run_contexts, urls
from service.pages.run_columns import state_words
from service.pages.run_query import STATES, Asked

SHOWN_AROUND = 32  # characters on each side of a mistake
FIRST_CHART = "pareto"
_WORD = re.compile(r"[\w.-]+|\s*\S|")


def filter_form(
    asked: Asked, action: str, *, problem: run_contexts.FilterProblem | None = None
) -> run_contexts.FilterForm:
    """Return the form filled in; the columns of the table have boxes of their own."""
    shown = {"filter", "state", "method", "dataset", "model", "columns"}
    query = asked.from_the_start()
    hidden = tuple(
        contexts.Row(name=name, value=value) for name, value in query.items() if name not in shown
    )
    return run_contexts.FilterForm(
        action=action,
        asked=asked,
        states=tuple(contexts.Row(name=state, value=state_words(state)) for state in STATES),
        methods=tuple(_families()),
        hidden=hidden,
        clear_link=f"{action}" if asked.is_filtered or problem else "",
        problem=problem,
    )


def tabs(asked: Asked, *, is_table: bool) -> tuple[run_contexts.Tab, ...]:
    """Return the ways to look at the runs of one question."""
    query = asked.from_the_start()
    return (
        run_contexts.Tab(title="Table", link=urls.runs(query), is_current=is_table),
        run_contexts.Tab(
            title="Charts", link=urls.explore(FIRST_CHART, query), is_current=not is_table
        ),
    )


def filter_problem(error: PeftwiseError, asked: Asked) -> run_contexts.FilterProblem:
    """Return what is wrong, with its place where it is in the filter that was typed."""
    field = error.param or ""
    if not isinstance(error, BadFilter) or field != "filter":
        return run_contexts.FilterProblem(message=str(error), field=field)
    text, place = asked.filter, error.position - 1
    start, end = max(0, place - SHOWN_AROUND), place + SHOWN_AROUND
    word = _WORD.match(text, place, end)
    after = word.end() if word else place
    return run_contexts.FilterProblem(
        message=str(error),
        field=field,
        position=error.position,
        before=("\N{HORIZONTAL ELLIPSIS}" if start else "") + one_line(text[start:place]),
        at=one_line(text[place:after]) or " ",
        after=one_line(text[after:end]) + ("\N{HORIZONTAL ELLIPSIS}" if end < len(text) else ""),
    )


def one_line(text: str) -> str:
    """Return a text whose line ends are spaces, each as wide as it was."""
    return "".join(" " if letter in "\r\n\t" else letter for letter in text)


def _families() -> Iterator[contexts.Group]:
    """Yield the methods by family, in the order of their table."""
    for family, names in groupby(METHODS, key=FAMILY_OF.__getitem__):
        titles = [(name, wording.capitalised(wording.method(name))) for name in names]
        yield contexts.group(wording.family(family), titles)
