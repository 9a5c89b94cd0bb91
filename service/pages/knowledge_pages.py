"""The page of knowledge: its versions, how good they are, learning anew, going back."""

from typing import Annotated

from fastapi import Query
from fastapi.responses import HTMLResponse, RedirectResponse

from metadata.errors import PeftwiseError
from service.dependencies import ServicesDep
from service.errors import status_of
from service.pages import urls
from service.pages.knowledge_contexts import Outcome
from service.pages.knowledge_view import KnowledgeSeen, view_knowledge
from service.pages.page_route import page_router
from service.pages.rendering import respond
from service.recommender.calibration import calibrate
from service.runs.retraining import refit
from service.services import Services

Version = Annotated[str, Query(max_length=100)]
router = page_router()


@router.get("/knowledge")
def show_knowledge(services: ServicesDep, version: Version = "") -> HTMLResponse:
    """Show the live version, or another one, beside all that there are."""
    return _page(services, version)


@router.post("/knowledge/refit")
def learn(services: ServicesDep) -> HTMLResponse:
    """Learn from all runs, which takes half a minute, and show what came of it."""
    try:
        found = refit(services.history, services.knowledge)
    except PeftwiseError as error:
        outcome = Outcome(title="Nothing was learnt", message=str(error), is_problem=True)
        return _page(services, "", outcome=outcome, status=status_of(error))
    title = "A new version answers" if found.activated else "The live version stays"
    outcome = Outcome(title=title, message=found.reason, is_problem=False)
    return _page(services, "", outcome=outcome)


@router.post("/knowledge/{version}/activate")
def activate(version: str, services: ServicesDep) -> RedirectResponse:
    """Let a version answer from now on, and show it."""
    services.knowledge.activate(version)
    return RedirectResponse(urls.knowledge(), status_code=303)


def _page(
    services: Services, version: str, *, outcome: Outcome | None = None, status: int = 200
) -> HTMLResponse:
    store = services.knowledge
    current = store.current
    shown = store.get(version) if version else current
    versions = store.versions()
    seen = KnowledgeSeen(
        shown=shown,
        calibration=calibrate(shown),
        versions=versions,
        current=current.version,
        runs=services.history.count(),
        is_fitting=store.is_fitting,
        outcome=outcome,
    )
    return respond(view_knowledge(seen), status=status)
