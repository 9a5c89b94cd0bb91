"""From a page of runs to the table that shows it."""

from collections.abc import Mapping, Sequence
from typing import Any

from metadata.browsing import Found
from metadata.errors import PeftwiseError
from metadata.notes import Note, said
from metadata.query import known_fields
from metadata.records import Run
from metadata.showing.together import values_of
from service import wording
from service.pages import contexts, run_columns, run_contexts, urls
from service.pages.filter_view import filter_form, filter_problem, tabs
from service.pages.run_columns import Cell
from service.pages.run_query import LONGEST_TRAIL, MOST_CHOSEN, Asked

NOTHING = Found(runs=(), has_more=False, last_id=None)


def view_runs(
    found: Found,
    asked: Asked,
    *,
    total: str,
    error: PeftwiseError | None = None,
    undo: run_contexts.Undo | None = None,
) -> run_contexts.RunsPage:
    """Return the table of runs, or the form with what is wrong in it."""
    problem = None if error is None else filter_problem(error, asked)
    shown = {run.id for run in found.runs}
    download = {"filter": asked.whole_filter, "sort": asked.sort}
    return run_contexts.RunsPage(
        title="Past runs",
        tabs=tabs(asked, is_table=True),
        form=filter_form(asked, urls.runs(), problem=problem),
        columns=column_form(asked.columns),
        headings=tuple(_heading(name, asked) for name in asked.columns),
        lines=tuple(_line(run, found.note(run.id), asked) for run in found.runs),
        total=total,
        chosen_elsewhere=tuple(one for one in asked.chosen if one not in shown),
        most_chosen=MOST_CHOSEN,
        first_link=urls.runs(asked.from_the_start()) if asked.after else "",
        previous_link=urls.runs(_previous(asked)) if asked.after else "",
        next_link=urls.runs(_next(asked, found)) if found.has_more else "",
        downloads=_downloads({name: value for name, value in download.items() if value}, asked),
        view_query=urls.runs(asked.query()).partition("?")[2],
        undo=undo,
    )


def column_form(chosen: Sequence[str]) -> run_contexts.ColumnForm:
    """Return the boxes of the columns, those that are chosen ticked."""
    groups = tuple(
        run_contexts.Choices(
            title=title,
            choices=tuple(
                run_contexts.Choice(name=name, title=words, is_chosen=name in chosen)
                for name, words in fields.items()
            ),
        )
        for title, fields in run_columns.GROUPS.items()
    )
    other = [name for name in chosen if name not in run_columns.TITLES]
    fields = tuple(name for name in known_fields() if name not in run_columns.TITLES)
    return run_contexts.ColumnForm(groups=groups, other=", ".join(other), fields=fields)


def _previous(asked: Asked) -> dict[str, str]:
    return asked.query(after="".join(asked.trail[-1:]), trail=asked.trail[:-1])


def _next(asked: Asked, found: Found) -> dict[str, str]:
    trail = (*asked.trail, asked.after) if asked.after else ()
    return asked.query(after=found.last_id or "", trail=trail[-LONGEST_TRAIL:])


def _downloads(query: Mapping[str, str], asked: Asked) -> tuple[contexts.Row, ...]:
    """Return the view as files: its columns as tables, and the whole runs for another server."""
    table = {**query, "fields": ",".join(asked.columns)}
    return (
        contexts.Row(name="CSV", value="", link=urls.export(table)),
        contexts.Row(name="Parquet", value="", link=urls.export({**table, "format": "parquet"})),
        contexts.Row(name="whole runs", value="", link=urls.export({**query, "format": "runs"})),
    )


def _heading(name: str, asked: Asked) -> run_contexts.Heading:
    """Return a heading; a second click turns the order round."""
    down, is_number = f"-{name}", run_columns.is_number(name)
    first, second = (down, name) if is_number or name == "created_at" else (name, down)
    sort = second if asked.sort == first else first
    return run_contexts.Heading(
        title=run_columns.title_of(name),
        field=name,
        link=urls.runs(asked.from_the_start(sort=sort)),
        sorted_as={down: "descending", name: "ascending"}.get(asked.sort, ""),
        is_number=is_number,
    )


def _line(run: Run, note: Note, asked: Asked) -> run_contexts.RunLine:
    values = {**values_of(run), **said(note)}
    return run_contexts.RunLine(
        id=run.id,
        link=urls.run(run.id),
        name=f"{wording.method(run.configuration.method.name)}, {run.task.dataset.name}, {run.id}",
        is_chosen=run.id in asked.chosen,
        cells=tuple(_cell(name, values, run) for name in asked.columns),
        tags=() if "tags" in asked.columns else note.tags,
        has_note=bool(note.text) and "note" not in asked.columns,
        is_archived=note.archived,
    )


def _cell(name: str, values: Mapping[str, Any], run: Run) -> Cell:
    shown = run_columns.cell(name, values.get(name))
    if name != "method":
        return shown
    return Cell(text=shown.text, detail=wording.method_values(run.configuration))
