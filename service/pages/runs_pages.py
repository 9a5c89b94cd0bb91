"""The pages of past runs: the table, one run, some runs beside each other."""

from dataclasses import replace
from typing import Annotated, Literal

from fastapi import Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData

from metadata.errors import InvalidRequest, NotFound
from metadata.notes import Notes
from metadata.query import field_of
from service.dependencies import BrowserDep, HistoryDep, ServicesDep
from service.errors import status_of
from service.pages import urls
from service.pages.chart_assets import router as chart_assets
from service.pages.compare_view import USUAL_MEASURE, view_compare
from service.pages.explore_pages import router as explore_pages
from service.pages.page_route import page_router
from service.pages.rendering import respond
from service.pages.run_notes import (
    back_to_table,
    chosen_of,
    note_form,
    read_form,
    say,
    text_of,
    undo_of,
)
from service.pages.run_query import MOST_CHOSEN, AskedDep, check_state, ids
from service.pages.run_view import view_run
from service.pages.runs_view import NOTHING, view_runs
from service.runs.removal import remove_run
from service.security import CHART_HEADERS
from service.services import Services

RUNS_A_PAGE = 50
_Short = Annotated[str, Query(max_length=2_000)]
router = page_router()
router.include_router(chart_assets)
router.include_router(explore_pages)


@router.get("/runs")
def list_runs(
    asked: AskedDep, browser: BrowserDep, done: _Short = "", undo: _Short = ""
) -> HTMLResponse:
    """Show a page of runs; a filter that cannot be read is shown with its mistake marked."""
    try:
        check_state(asked.state)
        for name in asked.columns:
            field_of(name, param="columns")
        found = browser.page(asked.view, limit=RUNS_A_PAGE, after=asked.after or None)
        total = f"{browser.count(asked.view):,}"
    except InvalidRequest as error:
        page = view_runs(NOTHING, asked, total="0", error=error)
        return respond(page, status=status_of(error))
    undone = undo_of(done, ids(undo), browser)
    return respond(view_runs(found, asked, total=total, undo=undone))


@router.post("/runs/chosen/{move}")
async def move_chosen(
    move: Literal["archive", "restore"], request: Request, services: ServicesDep
) -> RedirectResponse:
    """Archive the runs that were ticked, or take them back, and show the table again."""
    form = await read_form(request)
    return await run_in_threadpool(_move_chosen, services, move, form)


def _move_chosen(services: Services, move: str, form: FormData) -> RedirectResponse:
    chosen, notes = chosen_of(form), Notes(services.engine)
    for run_id in chosen:
        notes.change(run_id, archived=move == "archive")
    done = {"archive": "archived", "restore": "restored"}[move]
    return RedirectResponse(back_to_table(form, done=done, ids=chosen), status_code=303)


@router.get("/runs/compare")
def compare(
    browser: BrowserDep,
    history: HistoryDep,
    run: Annotated[list[str], Query(max_length=200)] = [],  # noqa: B006 - FastAPI copies it
    view: Annotated[str, Query(max_length=8_000)] = "",
    measure: Annotated[str, Query(max_length=200)] = USUAL_MEASURE,
    shows_all: Annotated[bool, Query(alias="all")] = False,
) -> HTMLResponse:
    """Show some runs beside each other."""
    chosen = list(dict.fromkeys(run))
    if not 2 <= len(chosen) <= MOST_CHOSEN:
        raise InvalidRequest(
            f"A comparison takes 2 to {MOST_CHOSEN} runs, got {len(chosen)}. "
            "Tick them in the table of runs.",
            param="run",
        )
    found = browser.some(chosen)
    missing = sorted(set(chosen) - {one.id for one in found})
    if missing:
        raise NotFound(f"No run has the id {missing[0][:80]!r}. Tick others in the table of runs.")
    curves = {one.id: history.curve(one.id) for one in found}
    page = view_compare(found, curves, shows_all=shows_all, measure=measure, view_query=view)
    return respond(page, headers=CHART_HEADERS)


@router.get("/runs/{run_id}")
def show_run(run_id: str, services: ServicesDep, done: _Short = "") -> HTMLResponse:
    """Show one run with its curve and all its values."""
    run, notes = services.history.get(run_id), Notes(services.engine)
    form = note_form(run_id, notes.of(run_id), known_tags=notes.all_tags(), done=done)
    return respond(view_run(run, form))


@router.post("/runs/{run_id}/note")
async def keep_note(run_id: str, request: Request, services: ServicesDep) -> Response:
    """Keep a note and tags, or show again what was typed and why it cannot be kept."""
    form = await read_form(request)
    return await run_in_threadpool(_keep_note, services, run_id, form)


def _keep_note(services: Services, run_id: str, form: FormData) -> Response:
    notes = Notes(services.engine)
    try:
        say(notes, run_id, form)
    except InvalidRequest as error:
        shown = replace(
            note_form(run_id, notes.of(run_id), known_tags=notes.all_tags()),
            note=text_of(form, "note"),
            tags=text_of(form, "tags"),
            problem=str(error),
        )
        page = view_run(services.history.get(run_id), shown)
        return respond(page, status=status_of(error))
    return RedirectResponse(f"{urls.run(run_id)}?done=saved", status_code=303)


@router.post("/runs/{run_id}/delete")
def delete_run(run_id: str, services: ServicesDep) -> RedirectResponse:
    """Delete a run for good, unless a job lives on it, and show the others."""
    remove_run(run_id, services.history, services.engine)
    return RedirectResponse(f"{urls.runs()}?done=deleted", status_code=303)


@router.post("/runs/{run_id}/{move}")
def move_run(
    run_id: str, move: Literal["archive", "restore"], services: ServicesDep
) -> RedirectResponse:
    """Archive a run or take it back, and show it."""
    Notes(services.engine).change(run_id, archived=move == "archive")
    done = {"archive": "archived", "restore": "restored"}[move]
    return RedirectResponse(f"{urls.run(run_id)}?done={done}", status_code=303)
