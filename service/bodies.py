"""How large a body may be and of which kind, counted while it streams.

Routes under /v1 take JSON, uploads of files and an attempt's log apart; pages take what an HTML
form sends.
"""

from collections.abc import Awaitable, Callable

from fastapi import HTTPException
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from metadata.errors import InvalidRequest
from service.errors import Failure, answer, failure_of
from service.security import SAFE_METHODS, WORKER_ROUTES, Refused
from service.settings import MIB, Settings
from service.validation import read_strictly

UPLOAD_ROUTE = "/v1/files"
IMPORT_ROUTE = "/v1/runs/import"
CHECK_ROUTE = "/v1/datasets/check"  # takes a file, or JSON with the id of one
JSON = "application/json"
MULTIPART = "multipart/form-data"
FORM = "application/x-www-form-urlencoded"
BYTES = "application/octet-stream"  # what attempts print, in whatever encoding
LARGE_BYTES = 64 * 1024  # reading more takes milliseconds, in which others would wait


class BodyGuard:
    """Refuse bodies of another kind (415), over their limit (413), or not strict JSON."""

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        """Keep the limits in bytes."""
        self.app = app
        self.upload_bytes = settings.upload_bytes
        self.json_bytes = settings.json_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its body, or answer why not."""
        if scope["type"] != "http" or scope["method"] in SAFE_METHODS:
            await self.app(scope, receive, send)
            return
        try:
            guarded = await self._guard(scope, receive)
        except Refused as refused:
            await answer(scope["path"], refused.failure)(scope, receive, send)
        except InvalidRequest as error:
            failure = failure_of(error)
            refusal = Failure(status=400, message=failure.message, code="invalid_json")
            await answer(scope["path"], refusal)(scope, receive, send)
        else:
            if guarded is not None:
                await self.app(scope, guarded, send)

    async def _guard(self, scope: Scope, receive: Receive) -> Receive | None:
        headers = Headers(scope=scope)
        allowed = _kinds(scope["path"], scope["method"])
        kind = _check_kind(headers, allowed)
        limit = self.upload_bytes if kind == MULTIPART else self.json_bytes
        _check_length(headers, limit)
        limited = _counted(receive, limit)
        if JSON not in allowed or kind == MULTIPART:
            return limited
        return await _read_json(limited, is_json=kind == JSON)


def _kinds(path: str, method: str) -> tuple[str, ...]:
    if path in (UPLOAD_ROUTE, IMPORT_ROUTE) and method == "POST":
        return (MULTIPART,)
    if path == CHECK_ROUTE:
        return (JSON, MULTIPART)
    if path.startswith(WORKER_ROUTES) and path.endswith("/log"):
        return (BYTES,)
    return (JSON,) if path.startswith("/v1/") else (FORM, MULTIPART)


def _check_kind(headers: Headers, allowed: tuple[str, ...]) -> str | None:
    """Return the media type of the body; None where nothing says that there is one."""
    given = headers.get("content-type")
    if given is None:
        return None
    kind = given.partition(";")[0].strip().lower()
    if kind not in allowed:
        raise Refused(_wrong_kind(given, allowed))
    return kind


def _wrong_kind(given: str, allowed: tuple[str, ...]) -> Failure:
    return Failure(
        status=415,
        message=(
            f"The body must be {' or '.join(allowed)}, got {given[:100]!r}. "
            "Set the Content-Type header and encode the body so."
        ),
        code="unsupported_media_type",
    )


def _check_length(headers: Headers, limit: int) -> None:
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise Refused(_too_large(limit, f"{int(length)} bytes"))


def _counted(receive: Receive, limit: int) -> Receive:
    """Return a receive that refuses the byte after the limit."""
    count = 0

    async def receive_counted() -> Message:
        nonlocal count
        message = await receive()
        count += len(message.get("body", b""))
        if count > limit:
            # FastAPI lets this class alone pass through its reading of bodies.
            raise HTTPException(413, _too_large(limit, "more").message)
        return message

    return receive_counted


def _too_large(limit: int, seen: str) -> Failure:
    size = f"{limit / MIB:.0f} MiB" if limit >= MIB else f"{limit} bytes"
    return Failure(
        status=413,
        message=f"The body may have at most {size}, got {seen}. Send less, or in several requests.",
        code="too_large",
    )


async def _read_json(receive: Receive, *, is_json: bool) -> Receive | None:
    """Read and check a whole body; return a receive that gives it again."""
    body = bytearray()
    more = True
    while more:
        try:
            message = await receive()
        except HTTPException as error:
            failure = Failure(status=413, message=str(error.detail), code="too_large")
            raise Refused(failure) from None
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if body and not is_json:
        raise Refused(_wrong_kind("none", (JSON,)))
    if len(body) > LARGE_BYTES:
        await run_in_threadpool(read_strictly, bytes(body))
    elif body:
        read_strictly(bytes(body))
    return _replayed(bytes(body), receive)


def _replayed(body: bytes, receive: Callable[[], Awaitable[Message]]) -> Receive:
    is_given = False

    async def receive_again() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
