"""The history of runs: what every answer is learnt from."""

from itertools import chain, islice
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from fastapi.openapi.models import Example
from fastapi.responses import StreamingResponse

from metadata.browsing import LARGEST_PAGE, NEWEST, View
from metadata.notes import Note, Notes
from metadata.query import field_of, known_fields
from metadata.records import Run, RunState
from metadata.showing.together import picked
from service.dependencies import BrowserDep, HistoryDep, ServicesDep
from service.openapi import PROBLEMS, example
from service.runs import examples
from service.runs.exporting import FILE_NAMES, MEDIA_TYPES, Format, exported
from service.runs.parameters import Filter, Names, Sort, Text, equal_to, names_of
from service.runs.removal import remove_run
from service.runs.schemas import (
    Curve,
    FieldAnswer,
    FieldList,
    NoteChange,
    RunAnswer,
    RunDeleted,
    RunList,
    run_answer,
)

__all__ = ["equal_to", "router"]

_CHANGES = {
    "archive": Example(summary="Archive with a note", value=examples.NOTE),
    "undo": Example(summary="Take it back", value={"archived": False}),
}
router = APIRouter(prefix="/v1/runs", tags=["runs"], responses=PROBLEMS)


@router.get(
    "",
    summary="List runs",
    responses=example(
        {"object": "list", "data": [examples.RUN], "has_more": False, "last_id": examples.ID}
    ),
)
def list_runs(
    browser: BrowserDep,
    where: Filter = "",
    sort: Sort = NEWEST,
    limit: Annotated[int, Query(description=f"1 to {LARGEST_PAGE:,}")] = 20,
    after: Annotated[Text, Query(description="last_id of the page before")] = None,
    fields: Names = None,
    with_total: Annotated[bool, Query(description="count all that the filter finds")] = False,
    state: RunState | None = None,
    method: Text = None,
    model: Text = None,
    dataset: Text = None,
) -> RunList:
    """Return a page of runs without curves; a leading `-` sorts the largest first.

    `fields` leaves all but the named ones out. `state`, `method`, `model` and `dataset` are short
    for an `=` in the filter.
    """
    short = {"state": state, "method": method, "model_id": model, "dataset_name": dataset}
    view = View(filter=where, also=equal_to(short), sort=sort)
    page = browser.page(view, limit=limit, after=after)
    return RunList(
        data=[_answer(run, page.note(run.id), names_of(fields)) for run in page.runs],
        has_more=page.has_more,
        last_id=page.last_id,
        total=browser.count(view) if with_total else None,
    )


@router.get(
    "/fields",
    summary="List what runs can be filtered and sorted by",
    responses=example(examples.FIELDS),
)
def list_fields() -> FieldList:
    """Return the fields of fixed name; values of a method follow `configuration.method.`."""
    return FieldList(data=[FieldAnswer(name=f.name, kind=f.kind) for f in known_fields().values()])


@router.get(
    "/export",
    summary="Download runs",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {
                MEDIA_TYPES["csv"]: {"example": "id,score\n"},
                MEDIA_TYPES["parquet"]: {"schema": {"type": "string", "format": "binary"}},
            }
        }
    },
)
def export(
    browser: BrowserDep,
    where: Filter = "",
    sort: Sort = NEWEST,
    fields: Names = None,
    form: Annotated[
        Format,
        Query(
            alias="format",
            description="csv and parquet: chosen fields, a column each. runs: whole runs with "
            "their curves as Parquet, which another Peftwise imports.",
        ),
    ] = "csv",
) -> StreamingResponse:
    """Send all runs of a filter, every field or those named, some hundred at a time."""
    names = names_of(fields) or list(known_fields())
    for name in names:
        field_of(name, param="fields")  # before the first byte is sent
    pieces = exported(browser, View(filter=where, sort=sort), names, form=form)
    # Head and first rows are read before the answer begins, which could tell of no error later.
    first = list(islice(pieces, 2))
    headers = {"Content-Disposition": f'attachment; filename="{FILE_NAMES[form]}"'}
    return StreamingResponse(chain(first, pieces), media_type=MEDIA_TYPES[form], headers=headers)


@router.get("/{run_id}", summary="Read a run", responses=example(examples.RUN))
def read(run_id: str, history: HistoryDep, services: ServicesDep) -> RunAnswer:
    """Return a run with its curve and what is said of it."""
    return run_answer(history.get(run_id), Notes(services.engine).of(run_id))


@router.patch("/{run_id}", summary="Note, tag or archive a run", responses=example(examples.RUN))
def change(
    run_id: str,
    asked: Annotated[NoteChange, Body(openapi_examples=_CHANGES)],
    history: HistoryDep,
    services: ServicesDep,
) -> RunAnswer:
    """Say what is given of a run; the run itself never changes.

    An archived run is out of lists, unless a filter names `archived`, and no evidence any more:
    the next refit leaves it out. `archived: false` takes it back.
    """
    note = Notes(services.engine).change(
        run_id, text=asked.note, tags=asked.tags, archived=asked.archived
    )
    return run_answer(history.get(run_id), note)


@router.delete("/{run_id}", summary="Delete a run for good", responses=example(examples.DELETED))
def delete(run_id: str, history: HistoryDep, services: ServicesDep) -> RunDeleted:
    """Delete a run, its curve and what is said of it. There is no undo: archive keeps it.

    Its id stays known, so that neither an import nor a restart brings it back. The run of a job
    that has not ended is refused.
    """
    remove_run(run_id, history, services.engine)
    return RunDeleted(id=run_id)


@router.get(
    "/{run_id}/curve",
    summary="Read the learning curve of a run",
    responses=example(examples.CURVE),
)
def read_curve(run_id: str, history: HistoryDep) -> Curve:
    """Return the curve in the order it was measured."""
    return Curve(run_id=run_id, data=history.curve(run_id))


def _answer(run: Run, note: Note, names: list[str] | None) -> RunAnswer | dict[str, Any]:
    return run_answer(run, note) if names is None else picked(run, names, note)
