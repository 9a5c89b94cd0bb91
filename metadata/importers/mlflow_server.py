"""A tracking server of MLflow over its REST API, from the command line only."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from metadata.errors import InvalidRequest, Unavailable
from metadata.importers.mlflow_runs import Point, draft_of
from metadata.importers.spec import Given, Item, Refused

API = "/api/2.0/mlflow"
TIMEOUT_SECONDS = 30.0
LARGEST_ANSWER_BYTES = 64 * 2**20
RUNS_AT_ONCE, POINTS_AT_ONCE = 200, 5_000
MOST_PAGES = 100_000
Answer = dict[str, Any]


def read_address(address: str, given: Given) -> Iterator[Item]:
    """Yield the runs of all experiments of a server.

    Raises:
        InvalidRequest: That is no address.
        Unavailable: The server does not answer as MLflow does.
    """
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidRequest("An address begins with http:// or https:// and names a server.")
    headers = {} if given.key is None else {"Authorization": f"Bearer {given.key}"}
    url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}{API}"
    with httpx.Client(headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False) as client:
        server = _Server(client, url)
        for experiment in server.experiments():
            yield from _runs(server, experiment, given)


def _runs(server: "_Server", experiment: Answer, given: Given) -> Iterator[Item]:
    for run in server.runs(str(experiment.get("experiment_id"))):
        info, data = _object(run, "info"), _object(run, "data")
        run_id = str(info.get("run_id") or info.get("run_uuid"))
        if info.get("lifecycle_stage") == "deleted":
            yield Refused(label=f"run {run_id[:8]}", reason="it is deleted there")
            continue
        yield draft_of(
            run_id,
            status=info.get("status"),
            start=info.get("start_time"),
            end=info.get("end_time"),
            experiment=experiment.get("name"),
            dataset=_dataset(run),
            params={str(one.get("key")): one.get("value") for one in _list(data, "params")},
            points=_points(server, run_id, data),
            given=given,
        )


def _points(server: "_Server", run_id: str, data: Answer) -> Iterator[Point]:
    for metric in sorted({str(one.get("key")) for one in _list(data, "metrics")}):
        for one in server.history(run_id, metric):
            yield metric, one.get("value"), one.get("step")


def _dataset(run: Answer) -> object:
    for one in _list(_object(run, "inputs"), "dataset_inputs"):
        return _object(one, "dataset").get("name")
    return None


class _Server:
    """The few calls that an import needs."""

    def __init__(self, client: httpx.Client, url: str) -> None:
        self._client, self._url = client, url

    def experiments(self) -> Iterator[Answer]:
        body = {"max_results": RUNS_AT_ONCE}
        return self._pages("POST", "/experiments/search", body, "experiments")

    def runs(self, experiment_id: str) -> Iterator[Answer]:
        body = {"experiment_ids": [experiment_id], "max_results": RUNS_AT_ONCE}
        return self._pages("POST", "/runs/search", body, "runs")

    def history(self, run_id: str, metric: str) -> Iterator[Answer]:
        query = {"run_id": run_id, "metric_key": metric, "max_results": POINTS_AT_ONCE}
        return self._pages("GET", "/metrics/get-history", query, "metrics")

    def _pages(
        self, method: str, path: str, asked: Mapping[str, Any], name: str
    ) -> Iterator[Answer]:
        token: object = None
        for _ in range(MOST_PAGES):
            more = {} if token is None else {"page_token": token}
            answer = self._ask(method, path, {**asked, **more})
            yield from _list(answer, name)
            following = answer.get("next_page_token")
            if not following or following == token:
                return
            token = following

    def _ask(self, method: str, path: str, asked: Mapping[str, Any]) -> Answer:
        parts: dict[str, Any] = {"params": asked} if method == "GET" else {"json": asked}
        try:
            with self._client.stream(method, self._url + path, **parts) as response:
                content = _read(response)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"The tracking server does not answer ({type(error).__name__}). "
                "Check the address, and MLFLOW_TRACKING_TOKEN where it asks for a token."
            ) from None
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            found = None
        if response.status_code != httpx.codes.OK or not isinstance(found, dict):
            raise Unavailable(
                f"The tracking server answered {path} with status {response.status_code} and "
                "nothing that MLflow would say. Check the address."
            )
        return found


def _read(response: httpx.Response) -> bytes:
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > LARGEST_ANSWER_BYTES:
            raise Unavailable("The tracking server sends answers that are far too large.")
    return bytes(content)


def _object(found: Mapping[str, Any], name: str) -> Answer:
    value = found.get(name)
    return value if isinstance(value, dict) else {}


def _list(found: Mapping[str, Any], name: str) -> list[Answer]:
    value = found.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
