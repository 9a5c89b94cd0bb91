"""The HTTP routes as typed functions, for the command line.

Without an address the same routes answer inside this process, from the local data folder.
"""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

import httpx

from metadata.errors import InvalidRequest, PeftwiseError, Unavailable
from metadata.records import Run
from service.catalogue.schemas import MethodAnswer, MethodList, OptimizerList, ScheduleList
from service.estimates.schemas import EstimateAnswer, EstimateRequest
from service.recommender.schemas import RecommendationAnswer, RecommendationRequest, RefitAnswer
from service.runs.importing import ImportAnswer

TIMEOUT_SECONDS = 60.0
IMPORT_SECONDS = 3600.0  # a fit may take half of that
_NO_CONTENT = 204
_USED_WRONGLY = frozenset({400, 413, 415, 422})
Json = dict[str, Any]


class ServiceError(PeftwiseError):
    """The service refused, for a reason that is not the way it was asked."""


class Sender(Protocol):
    """Whatever brings a request to a service and its answer back."""

    def __call__(self, request: httpx.Request, into: BinaryIO | None = None) -> httpx.Response:
        """Return the answer, read whole; a good one is written into a file where one is given."""


class Client:
    """A service, wherever it is."""

    def __init__(self, url: str, send: Sender, *, api_key: str | None = None) -> None:
        """Keep the address and the key; nothing is sent yet."""
        self.url = url.rstrip("/")
        self._send = send
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}

    def recommend(self, request: RecommendationRequest) -> RecommendationAnswer:
        """Ask for ranked configurations."""
        body = request.model_dump(mode="json", exclude_none=True)
        return RecommendationAnswer.model_validate(self._json("POST", "/v1/recommendations", body))

    def export(self, recommendation_id: str, **asked: object) -> tuple[str, str]:
        """Return a rank of a recommendation as a file for another trainer, and its origin."""
        path = f"/v1/recommendations/{_part(recommendation_id)}/export"
        response = self._exchange("GET", path, params=_query(**asked))
        if not response.is_success:
            _read(response)
        return response.text, unquote(response.headers.get("X-Peftwise-Origin", ""))

    def estimate(self, request: EstimateRequest) -> EstimateAnswer:
        """Ask what a run would need."""
        body = request.model_dump(mode="json", exclude_none=True)
        found = self._json("POST", "/v1/fine_tuning/jobs/estimate", body)
        return EstimateAnswer.model_validate(found)

    def upload(self, path: Path) -> Json:
        """Upload a training file."""
        with path.open("rb") as file:
            return self._call(
                "POST",
                "/v1/files",
                data={"purpose": "fine-tune"},
                files={"file": (path.name, file)},
            )

    def submit(self, order: Json) -> Json:
        """Create a job."""
        return self._json("POST", "/v1/fine_tuning/jobs", order)

    def job(self, job_id: str) -> Json:
        """Return one job."""
        return self._call("GET", f"/v1/fine_tuning/jobs/{_part(job_id)}")

    def jobs(self, *, limit: int, after: str | None = None) -> Json:
        """Return jobs, newest first."""
        return self._call("GET", "/v1/fine_tuning/jobs", params=_query(limit=limit, after=after))

    def move(self, job_id: str, move: str) -> Json:
        """Pause, resume or cancel a job."""
        return self._call("POST", f"/v1/fine_tuning/jobs/{_part(job_id)}/{move}")

    def delete_job(self, job_id: str) -> Json:
        """Forget a job that has ended."""
        return self._call("DELETE", f"/v1/fine_tuning/jobs/{_part(job_id)}")

    def log(self, job_id: str, *, last_bytes: int) -> Json:
        """Return what a job printed."""
        path = f"/v1/fine_tuning/jobs/{_part(job_id)}/logs"
        return self._call("GET", path, params={"last_bytes": str(last_bytes)})

    def doctor(self) -> Json:
        """Return whether the promises hold."""
        return self._call("GET", "/v1/doctor")

    def download_model(self, job_id: str, into: Path) -> None:
        """Write what a job made into a zip file."""
        response = self._exchange("GET", f"/v1/fine_tuning/jobs/{_part(job_id)}/model")
        if not response.is_success:
            _read(response)
        into.write_bytes(response.content)

    def offer(self, worker: str) -> Json | None:
        """Ask for a job to work on; None where none waits."""
        response = self._exchange("POST", "/v1/workers/offers", json={"worker": worker})
        return None if response.status_code == _NO_CONTENT else _read(response)

    def events(self, job_id: str) -> Json:
        """Return what happened to a job, newest first."""
        return self._call(
            "GET", f"/v1/fine_tuning/jobs/{_part(job_id)}/events", params={"limit": "20"}
        )

    def runs(self, *, limit: int, after: str | None = None, **filters: str | None) -> Json:
        """Return runs, newest first."""
        params = _query(limit=limit, after=after, **filters)
        return self._call("GET", "/v1/runs", params=params)

    def export_runs(self, into: Path, **asked: str | None) -> None:
        """Write runs into a file, as they come; nothing is written where the service refuses.

        Inside this process the file is held in memory once.
        """
        unfinished = into.with_name(f".{into.name}.unfinished")
        try:
            with unfinished.open("wb") as file:
                params = _query(**asked)
                response = self._exchange("GET", "/v1/runs/export", into=file, params=params)
                if not response.is_success:
                    _read(response)
            unfinished.replace(into)
        except OSError as error:
            raise InvalidRequest(
                f"{into.name} cannot be written: {error.strerror}. Choose another file."
            ) from None
        finally:
            unfinished.unlink(missing_ok=True)

    def change_run(self, run_id: str, change: Json) -> Json:
        """Say something of a run."""
        return self._json("PATCH", f"/v1/runs/{_part(run_id)}", change)

    def delete_run(self, run_id: str) -> Json:
        """Delete a run for good."""
        return self._call("DELETE", f"/v1/runs/{_part(run_id)}")

    def import_runs(self, path: Path, **fields: str) -> ImportAnswer:
        """Send past runs in a file."""
        with path.open("rb") as file:
            found = self._call(
                "POST",
                "/v1/runs/import",
                data=fields,
                files={"file": (path.name, file)},
                extensions={"timeout": httpx.Timeout(IMPORT_SECONDS).as_dict()},
            )
        return ImportAnswer.model_validate(found)

    def refit(self) -> RefitAnswer:
        """Learn from all runs; the better version on datasets left out answers from then on."""
        timeout = {"timeout": httpx.Timeout(IMPORT_SECONDS).as_dict()}
        found = self._call("POST", "/v1/knowledge/refit", extensions=timeout)
        return RefitAnswer.model_validate(found)

    def run(self, run_id: str) -> Json:
        """Return one run."""
        return self._call("GET", f"/v1/runs/{_part(run_id)}")

    def methods(self) -> MethodList:
        """Return the table of methods."""
        return MethodList.model_validate(self._call("GET", "/v1/methods"))

    def method(self, name: str) -> MethodAnswer:
        """Return one method."""
        return MethodAnswer.model_validate(self._call("GET", f"/v1/methods/{_part(name)}"))

    def optimizers(self) -> OptimizerList:
        """Return the table of optimizers."""
        return OptimizerList.model_validate(self._call("GET", "/v1/optimizers"))

    def schedules(self) -> ScheduleList:
        """Return the table of schedules."""
        return ScheduleList.model_validate(self._call("GET", "/v1/schedules"))

    def is_alive(self) -> bool:
        """Say whether a service answers."""
        try:
            return self._exchange("GET", "/livez").status_code == 200
        except PeftwiseError:
            return False

    def _json(self, method: str, path: str, body: object) -> Json:
        return self._call(method, path, json=body)

    def _call(self, method: str, path: str, **parts: Any) -> Json:
        return _read(self._exchange(method, path, **parts))

    def _exchange(
        self, method: str, path: str, *, into: BinaryIO | None = None, **parts: Any
    ) -> httpx.Response:
        request = httpx.Request(method, self.url + path, headers=self._headers, **parts)
        try:
            return self._send(request, into)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"No answer from {self.url} ({type(error).__name__}). "
                "Is it running? Start it with `peftwise serve`."
            ) from None


def connect(url: str, *, api_key: str | None = None) -> Client:
    """Return a client of a service at an address.

    Raises:
        InvalidRequest: That is no address.
    """
    if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
        raise InvalidRequest(
            f"PEFTWISE_URL must be an address such as http://127.0.0.1:8000, got {url[:200]!r}."
        )

    def exchange(request: httpx.Request, into: BinaryIO | None = None) -> httpx.Response:
        with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            response = client.send(request, stream=True)
            if into is not None and response.is_success:
                for piece in response.iter_bytes():
                    into.write(piece)
            else:
                response.read()
            response.close()
            return response

    return Client(url, exchange, api_key=api_key)


def inside(app: Any, *, api_key: str | None = None) -> Client:
    """Return a client of an application in this process; its background work stays off."""
    transport = httpx.ASGITransport(app=app)

    async def exchange(request: httpx.Request) -> httpx.Response:
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.send(_streaming(request))

    def send(request: httpx.Request, into: BinaryIO | None = None) -> httpx.Response:
        response = asyncio.run(exchange(request))
        if into is not None and response.is_success:
            into.write(response.content)
        return response

    return Client("http://127.0.0.1", send, api_key=api_key)


def _streaming(request: httpx.Request) -> httpx.Request:
    """Return the request with its body read, as an asynchronous client needs it."""
    return httpx.Request(
        request.method, request.url, headers=request.headers, content=request.read()
    )


def _read(response: httpx.Response) -> Json:
    if response.is_success:
        return _object(response)
    message = _message(response)
    if response.status_code in _USED_WRONGLY:
        raise InvalidRequest(message)
    raise ServiceError(message)


def _object(response: httpx.Response) -> Json:
    try:
        found: Json = response.json()
    except json.JSONDecodeError:
        raise ServiceError(
            f"{response.url.host} answered something other than JSON. Is PEFTWISE_URL right?"
        ) from None
    return found


def _message(response: httpx.Response) -> str:
    """Return the sentence in either shape of error."""
    try:
        found = response.json()
        error = found.get("error", found)
        return str(error.get("message") or error["detail"])
    except (json.JSONDecodeError, AttributeError, KeyError):
        return f"The service answered {response.status_code} {response.reason_phrase}."


def _query(**values: object) -> Mapping[str, str]:
    return {name: str(value) for name, value in values.items() if value is not None}


def _part(text: str) -> str:
    return (
        httpx.URL("/").copy_with(path=f"/{text}").raw_path.decode().lstrip("/").replace("/", "%2F")
    )


def read_run(found: Json) -> Run:
    """Return the run that a route answered."""
    return Run.model_validate({k: v for k, v in found.items() if k in Run.model_fields})
