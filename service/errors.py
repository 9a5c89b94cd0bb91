"""How an error becomes an answer: a table of classes, and two shapes.

OpenAI's `{"error": {...}}` stands on its routes, `application/problem+json` on ours. A message
says the rule, the value seen and the next step; never a traceback, a path or a secret.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from metadata.errors import (
    Conflict,
    Forbidden,
    InvalidDataset,
    InvalidRequest,
    NoSpace,
    NotFound,
    OverQuota,
    PeftwiseError,
    TooFewRuns,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnknownFate,
)
from service.storage.failures import cause_of, meaning_of
from service.validation import describe_errors

log = logging.getLogger(__name__)

OPENAI_ROUTES = ("/v1/files", "/v1/fine_tuning", "/v1/models")
STATUS: Mapping[type[PeftwiseError], int] = {
    InvalidRequest: 422,
    TooFewRuns: 409,
    NotFound: 404,
    Conflict: 409,
    Forbidden: 403,
    Unauthorized: 401,
    TooLarge: 413,
    OverQuota: 429,
    Unavailable: 503,
    NoSpace: 507,
}
# OpenAI's client retries 409 silently and knows 422 under another class than a bad request.
_OPENAI_STATUS = {409: 400, 422: 400}
_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
PROBLEM_TYPE = "application/problem+json"
RETRY_SECONDS = 5


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What goes wrong, before it is given a shape."""

    status: int
    message: str
    param: str | None = None
    line: int | None = None
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def status_of(error: PeftwiseError) -> int:
    """Return the status of the nearest class in the table, 400 where none is."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 400)


def failure_of(error: PeftwiseError) -> Failure:
    """Return what an error of ours says."""
    status = status_of(error)
    return Failure(
        status=status,
        message=str(error),
        param=error.param,
        line=error.line if isinstance(error, InvalidDataset) else None,
        code=_snake(type(error).__name__),
        headers=_advice(error, status),
    )


def _advice(error: PeftwiseError, status: int) -> Mapping[str, str]:
    """Say when to ask again, and tell OpenAI's client where asking again by itself does harm."""
    advice: dict[str, str] = {}
    if status in {429, 503}:
        advice["Retry-After"] = str(RETRY_SECONDS)
    if isinstance(error, UnknownFate | NoSpace):
        advice["X-Should-Retry"] = "false"
    return advice


def answer(path: str, failure: Failure) -> JSONResponse:
    """Return a failure in the shape that belongs to the route."""
    headers = dict(failure.headers)
    if path.startswith(OPENAI_ROUTES):
        return JSONResponse(openai_body(failure), openai_status(failure), headers)
    return JSONResponse(problem_body(failure), failure.status, headers, PROBLEM_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error of the routes in one of the two shapes."""

    async def answer_ours(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, PeftwiseError)
        return answer(request.url.path, failure_of(error))

    async def answer_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return answer(request.url.path, _failure_of_http(request, error))

    async def answer_validation(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        message, param = describe_errors(error.errors())
        failure = Failure(status=422, message=message, param=param, code="invalid_request")
        return answer(request.url.path, failure)

    async def answer_storage(request: Request, error: Exception) -> JSONResponse:
        meaning = meaning_of(error)
        if meaning is None:
            raise error
        log.error("%s %s: %s", request.method, request.url.path, cause_of(error))
        return answer(request.url.path, failure_of(meaning))

    app.add_exception_handler(PeftwiseError, answer_ours)
    app.add_exception_handler(SQLAlchemyError, answer_storage)
    app.add_exception_handler(OSError, answer_storage)
    app.add_exception_handler(HTTPException, answer_http)
    app.add_exception_handler(RequestValidationError, answer_validation)


def internal_error(path: str) -> JSONResponse:
    """Return the answer to a mistake of our own; the log has the rest."""
    message = (
        "The server made a mistake of its own and has written it to its log. "
        "Send the request again; if it fails again, report it with the time of this answer."
    )
    return answer(path, Failure(status=500, message=message, code="internal_error"))


def _failure_of_http(request: Request, error: HTTPException) -> Failure:
    path = request.url.path
    message = {
        404: f"No route answers {path[:200]!r}. GET /openapi.json lists the routes.",
        405: (
            f"{request.method} is not a method of {path[:200]!r}; "
            f"it has {(error.headers or {}).get('Allow', 'others')}."
        ),
    }.get(error.status_code, str(error.detail))
    if error.status_code == 404 and error.detail != HTTPStatus.NOT_FOUND.phrase:
        message = str(error.detail)
    return Failure(
        status=error.status_code, message=message, headers=dict(error.headers or {}), code=None
    )


def openai_status(failure: Failure) -> int:
    """Return the status by which OpenAI's client tells this failure."""
    return _OPENAI_STATUS.get(failure.status, failure.status)


def openai_body(failure: Failure) -> dict[str, Any]:
    """Return a failure in OpenAI's shape; `line` stands there only where it is known."""
    status = openai_status(failure)
    kind = _OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    error: dict[str, Any] = {
        "message": failure.message,
        "type": kind,
        "param": failure.param,
        "code": failure.code,
    }
    if failure.line is not None:
        error["line"] = failure.line
    return {"error": error}


def problem_body(failure: Failure) -> dict[str, Any]:
    """Return a failure as RFC 9457 has it; `line` stands there only where it is known."""
    problem: dict[str, Any] = {
        "type": "about:blank" if failure.code is None else f"urn:peftwise:{failure.code}",
        "title": HTTPStatus(failure.status).phrase,
        "status": failure.status,
        "detail": failure.message,
        "param": failure.param,
    }
    if failure.line is not None:
        problem["line"] = failure.line
    return problem


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
