"""The pages of past runs."""

from typing import Annotated

from fastapi import Query
from fastapi.responses import HTMLResponse

from service.dependencies import ServicesDep
from service.pages import run_contexts
from service.pages.page_route import page_router
from service.pages.rendering import respond
from service.pages.run_view import view_run, view_runs

RUNS_A_PAGE = 30
Cursor = Annotated[str | None, Query(max_length=200)]
Filter = Annotated[str, Query(max_length=200)]
router = page_router()


@router.get("/runs")
def list_runs(
    services: ServicesDep,
    state: Filter = "",
    method: Filter = "",
    dataset: Filter = "",
    model: Filter = "",
    after: Cursor = None,
) -> HTMLResponse:
    """Show a page of runs, newest first."""
    filters = run_contexts.RunFilters(state=state, method=method, dataset=dataset, model=model)
    page = services.history.page(
        limit=RUNS_A_PAGE,
        after=after,
        state=state or None,
        method=method or None,
        dataset=dataset or None,
        model=model or None,
    )
    return respond(view_runs(page, filters, total=services.history.count(), is_first=after is None))


@router.get("/runs/{run_id}")
def show_run(run_id: str, services: ServicesDep) -> HTMLResponse:
    """Show one run with its curve and all its values."""
    return respond(view_run(services.history.get(run_id)))
