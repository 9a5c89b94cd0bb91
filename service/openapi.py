"""What the description of the interface says besides the types: error answers and examples."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from service.errors import Failure, openai_body, problem_body

Answers = dict[int | str, dict[str, Any]]


class OpenAIError(BaseModel):
    """What is wrong, in OpenAI's words; `line` is of an uploaded file."""

    message: str
    type: str
    param: str | None
    code: str | None
    line: int | None = None


class OpenAIErrorAnswer(BaseModel):
    """An error on the routes that speak OpenAI's dialect."""

    error: OpenAIError


class Problem(BaseModel):
    """An error on our own routes, as `application/problem+json` (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str = Field(description="the rule, the value seen and the next step")
    param: str | None
    line: int | None = None


_FAILURES: Mapping[int, tuple[str, str | None]] = {
    400: ("The body must be JSON: Expecting value at line 1, column 1. Mend it there.", None),
    401: ("This server asks for its key on every route, got none. Send it.", None),
    404: ("Nothing has the id 'x'. List what is there.", None),
    409: ("A job that is succeeded cannot cancel; it can only be read.", None),
    413: ("The body may have at most 8 MiB, got more. Send less.", None),
    415: ("The body must be application/json, got 'text/plain'. Set the header.", None),
    422: ("`count`: Input should be less than or equal to 50, got 51. Mend it.", "count"),
    429: ("A caller may have 1,000 jobs that have not ended, you have 1,000. Wait.", None),
    503: ("The database does not answer. Send the request again in some seconds.", None),
    507: ("The disk is full: nothing new was kept. Free space on it.", None),
}
_OURS = (400, 401, 404, 409, 413, 415, 422, 503, 507)
_OPENAIS = (400, 401, 404, 413, 415, 429, 503, 507)


def example(value: object, *, status: int = 200) -> Answers:
    """Return the part of a route's description that shows a good answer."""
    return {status: {"content": {"application/json": {"example": value}}}}


def _problem(status: int) -> dict[str, Any]:
    message, param = _FAILURES[status]
    body = problem_body(Failure(status=status, message=message, param=param))
    schema = Problem.model_json_schema()
    content = {"application/problem+json": {"schema": schema, "example": body}}
    return {"description": body["title"], "content": content}


def _openai(status: int) -> dict[str, Any]:
    message, param = _FAILURES[status]
    body = openai_body(Failure(status=status, message=message, param=param))
    return {
        "model": OpenAIErrorAnswer,
        "content": {"application/json": {"example": body}},
    }


PROBLEMS: Answers = {status: _problem(status) for status in _OURS}
OPENAI_ERRORS: Answers = {status: _openai(status) for status in _OPENAIS}
