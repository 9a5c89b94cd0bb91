"""What the routes of all pages share: their router, and errors that are pages too."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from metadata.errors import PeftwiseError
from service.errors import status_of
from service.pages import contexts
from service.pages.rendering import respond
from service.validation import describe_errors

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
_TITLES = {404: "Nothing is here", 409: "Not in this state", 503: "Away for a moment"}


class PageRoute(APIRoute):
    """A route whose errors are pages too."""

    def get_route_handler(self) -> Handler:
        """Return the handler with the errors caught."""
        handle = super().get_route_handler()

        async def handle_with_pages(request: Request) -> Response:
            try:
                return await handle(request)
            except PeftwiseError as error:
                return error_page(status_of(error), str(error))
            except RequestValidationError as error:
                return error_page(422, describe_errors(error.errors())[0])
            except HTTPException as error:
                return error_page(error.status_code, str(error.detail))

        return handle_with_pages


def page_router() -> APIRouter:
    """Return a router for pages, empty yet."""
    return APIRouter(
        route_class=PageRoute, include_in_schema=False, default_response_class=HTMLResponse
    )


def error_page(status: int, message: str) -> HTMLResponse:
    """Return an error as a page."""
    title = _TITLES.get(status, "That did not work")
    return respond(contexts.ErrorPage(title=title, status=status, message=message), status=status)
