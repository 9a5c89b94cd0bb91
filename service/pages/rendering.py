"""From a context to a page. All text is escaped; a name that a template misspells is an error."""

from pathlib import Path

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from service.pages import urls
from service.pages.contexts import Page

ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.globals["urls"] = urls


def render(page: Page) -> str:
    """Return a page as HTML."""
    return ENVIRONMENT.get_template(page.template).render(page=page)


def respond(page: Page, *, status: int = 200) -> HTMLResponse:
    """Return a page as an answer that no cache keeps."""
    return HTMLResponse(render(page), status_code=status, headers={"Cache-Control": "no-store"})
