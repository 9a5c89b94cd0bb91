"""The page of those who work."""

from fastapi import Request
from fastapi.responses import HTMLResponse

from service.dependencies import ServicesDep
from service.pages.page_route import page_router
from service.pages.rendering import respond
from service.pages.workers_view import view_workers
from service.workers.attached import workforce

router = page_router()


@router.get("/workers")
def show_workers(request: Request, services: ServicesDep) -> HTMLResponse:
    """Show who works, on what, and what this server could still start."""
    address = str(request.base_url).rstrip("/")
    return respond(view_workers(workforce(services), address=address))
