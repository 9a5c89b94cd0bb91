"""From a context to a page. All text is escaped; a name that a template misspells is an error."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Protocol

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from service.pages import urls

ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.globals["urls"] = urls


class Page(Protocol):
    """What every context states: its template, its place in the navigation, its title."""

    template: ClassVar[str]
    section: ClassVar[str]

    @property
    def title(self) -> str:
        """Return what stands in the tab of the browser."""
        ...


def render(page: Page) -> str:
    """Return a page as HTML."""
    return ENVIRONMENT.get_template(page.template).render(page=page)


def respond(
    page: Page, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    """Return a page as an answer that no cache keeps."""
    kept = {"Cache-Control": "no-store", **(headers or {})}
    return HTMLResponse(render(page), status_code=status, headers=kept)
