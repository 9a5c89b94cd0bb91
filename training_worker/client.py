"""The service's worker routes as typed functions. The token stands in a header and nowhere else."""

from typing import IO, Any, Literal, TypeVar

import httpx
from pydantic import ValidationError

from metadata.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    PeftwiseError,
    TooLarge,
    Unauthorized,
    Unavailable,
)
from metadata.messages import Assignment, Claim, Outcome, Release, Renewed, Report
from metadata.records import Record

Message = TypeVar("Message", bound=Record)

TIMEOUT_SECONDS = 10.0  # under the 15 s between renewals
ERRORS: dict[int, type[PeftwiseError]] = {
    401: Unauthorized,
    403: Unauthorized,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
}


class WorkerClient:
    """One attempt's line to the service.

    Every method raises Unavailable where the service is away, and where asking again may help;
    Unauthorized, NotFound, Conflict or InvalidRequest where it refuses.
    """

    def __init__(self, server: str, *, transport: httpx.BaseTransport | None = None) -> None:
        """Keep where the service is; proxies of the environment are left aside."""
        self._http = httpx.Client(
            base_url=server, timeout=TIMEOUT_SECONDS, trust_env=False, transport=transport
        )
        self._attempt = ""
        self._headers: dict[str, str] = {}

    def claim(self, code: str) -> Assignment:
        """Return the work that a one-use code stands for, and keep its token for what follows."""
        answer = self._post("/v1/worker/claim", Claim(code=code))
        assignment = _read(Assignment, answer)
        # An answer later than this is no use to a lease that is renewed so often.
        self._http.timeout = httpx.Timeout(min(TIMEOUT_SECONDS, assignment.renew_seconds))
        self._attempt = f"/v1/worker/attempts/{assignment.attempt_id}"
        self._headers = {"Authorization": f"Bearer {assignment.token}"}
        return assignment

    def renew(self) -> Renewed:
        """Keep the lease."""
        answer = self._post(f"{self._attempt}/renew", None)
        return _read(Renewed, answer)

    def report(self, report: Report) -> None:
        """Tell what happened since the last report."""
        self._post(f"{self._attempt}/reports", report)

    def write_log(self, piece: bytes, *, offset: int) -> None:
        """Send what was printed, from so many bytes on."""
        headers = self._headers | {"Content-Type": "application/octet-stream"}
        self._send("PUT", f"{self._attempt}/log?offset={offset}", piece, headers)

    def release(self, release: Release) -> None:
        """Give the job back unfinished."""
        self._post(f"{self._attempt}/release", release)

    def finish(self, outcome: Outcome) -> None:
        """Say how the attempt ended."""
        self._post(f"{self._attempt}/finish", outcome)

    def download(self, kind: Literal["training", "validation"], into: IO[bytes]) -> int:
        """Write a file of the attempt into an open file; return its bytes."""
        start = into.tell()
        try:
            with self._http.stream(
                "GET", f"{self._attempt}/{kind}-file", headers=self._headers
            ) as answer:
                if answer.is_error:
                    answer.read()
                _check(answer)
                for chunk in answer.iter_bytes():
                    into.write(chunk)
        except httpx.HTTPError as error:
            raise _away(error) from error
        return into.tell() - start

    def _post(self, path: str, message: Record | None) -> httpx.Response:
        body = b"{}" if message is None else message.model_dump_json().encode()
        return self._send("POST", path, body, self._headers | {"Content-Type": "application/json"})

    def _send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        try:
            answer = self._http.request(method, path, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _away(error) from error
        _check(answer)
        return answer


def _read(kind: type[Message], answer: httpx.Response) -> Message:
    try:
        return kind.model_validate_json(answer.content)
    except ValidationError as error:
        raise InvalidRequest(
            f"The service must answer with {kind.__name__}; its answer was something else. "
            "Use the same version of service and worker."
        ) from error


def _check(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    if answer.is_server_error or answer.status_code == 429:
        raise Unavailable(f"The service answered {answer.status_code}; asking again may help.")
    raise ERRORS.get(answer.status_code, InvalidRequest)(_words(answer))


def _words(answer: httpx.Response) -> str:
    try:
        body: Any = answer.json()
    except ValueError:
        body = None
    detail = body.get("detail") if isinstance(body, dict) else None
    return f"The service refused with {answer.status_code}: {detail or answer.reason_phrase}"


def _away(error: Exception) -> Unavailable:
    return Unavailable(f"The service could not be reached ({type(error).__name__}).")
