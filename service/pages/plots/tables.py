"""The same as a figure says, as a table."""

from service import wording
from service.pages import run_columns, urls
from service.pages.run_columns import Cell
from service.pages.run_contexts import Heading
from service.runs.parameters import equal_to


def heading(title: str, *, is_number: bool = False) -> Heading:
    """Return a heading that does not sort."""
    return Heading(title=title, field="", link="", sorted_as="", is_number=is_number)


def field_heading(name: str) -> Heading:
    """Return the heading of a field."""
    return heading(run_columns.title_of(name), is_number=run_columns.is_number(name))


def run_cell(run_id: str, words: str = "") -> Cell:
    """Return a link to a run."""
    return Cell(text=run_columns.shortened(words or run_id, longest=60), link=urls.run(run_id))


def method_cell(name: str) -> Cell:
    """Return a link to the runs of a method."""
    return Cell(
        text=wording.capitalised(wording.method(name)),
        link=urls.runs({"filter": equal_to({"method": name})}),
    )


def number(value: float | None, name: str = "") -> Cell:
    """Return a number as its field says it."""
    return Cell(text=run_columns.say(name, value), kind="number")
