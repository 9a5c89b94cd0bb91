"""Ray's job routes as typed functions; Ray itself is not imported.

Routes: https://docs.ray.io/en/latest/cluster/running-applications/job-submission/rest.html
Measured on Ray 2.60: a second job of the same id is answered 500 with a traceback, so that after
any answer but 200 it is asked whether the job is there.
"""

import io
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel

from metadata.errors import Unavailable

TIMEOUT = httpx.Timeout(10.0, connect=2.0)  # seconds; a new cluster's first job takes one or two
_UNDER_WAY = frozenset({"PENDING", "RUNNING"})
_REFUSED = frozenset({401, 403})
_MOST_NODES = 10_000  # Ray's own limit; the usual one is 100


class Job(BaseModel):
    """What Ray says of a job."""

    status: str
    message: str | None = None
    driver_exit_code: int | None = None

    @property
    def is_under_way(self) -> bool:
        """Say whether it runs or waits for its place."""
        return self.status in _UNDER_WAY


@dataclass(frozen=True, kw_only=True)
class Node:
    """What one node has, and what of its GPUs is given away."""

    cpus: float
    gpus: float
    gpus_used: float

    @property
    def free_gpus(self) -> int:
        """Return the whole GPUs that nobody has."""
        return max(0, math.floor(self.gpus - self.gpus_used))


class _Version(BaseModel):
    ray_version: str


class _Logs(BaseModel):
    logs: str | None


class _Node(BaseModel):
    node_id: str
    state: str
    resources_total: dict[str, float]


class _NodeRows(BaseModel):
    result: list[_Node]


class _NodeData(BaseModel):
    result: _NodeRows


class _Nodes(BaseModel):
    data: _NodeData


class _Load(BaseModel, alias_generator=to_camel):
    usage_by_node: dict[str, dict[str, tuple[float, float]]] | None


class _ClusterStatus(BaseModel, alias_generator=to_camel):
    load_metrics_report: _Load


class _ClusterData(BaseModel, alias_generator=to_camel):
    cluster_status: _ClusterStatus | None


class _Cluster(BaseModel):
    data: _ClusterData


_Shape = TypeVar("_Shape", bound=BaseModel)


class RayJobs:
    """One Ray cluster. Each function raises Unavailable where it does not answer as it should."""

    def __init__(self, address: str, *, token: str | None = None) -> None:
        """Keep the address; nothing is sent yet."""
        self.address = address.rstrip("/")
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        # A connection is used once: one kept over a restart of Ray fails when it is needed.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.Client(
            base_url=self.address, headers=headers, timeout=TIMEOUT, limits=limits
        )

    def version(self) -> str:
        """Return Ray's version."""
        return self._get(_Version, "/api/version").ray_version

    def nodes(self) -> tuple[Node, ...]:
        """Return the nodes that live; what is used lags by the seconds between Ray's reports."""
        parameters = {"detail": "1", "limit": str(_MOST_NODES)}
        listed = self._get(_Nodes, "/api/v0/nodes", parameters)
        used = _used_gpus(self._get(_Cluster, "/api/cluster_status"))
        return tuple(
            Node(
                cpus=node.resources_total.get("CPU", 0.0),
                gpus=node.resources_total.get("GPU", 0.0),
                gpus_used=used.get(node.node_id, 0.0),
            )
            for node in listed.data.result.result
            if node.state == "ALIVE"
        )

    def upload(self, name: str, files: Mapping[str, bytes]) -> str:
        """Store files that only their owner may read; return the URI of the package."""
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w") as archive:
            for path, content in files.items():
                entry = zipfile.ZipInfo(path)
                entry.external_attr = 0o100600 << 16  # Ray unpacks a file with its mode
                archive.writestr(entry, content)
        self._checked("PUT", f"/api/packages/gcs/{name}.zip", content=body.getvalue())
        return f"gcs://{name}.zip"

    def submit(self, job_id: str, order: Mapping[str, Any]) -> None:
        """Start a job, once however often this is called with its id."""
        try:
            self._checked("POST", "/api/jobs/", json={**order, "submission_id": job_id})
        except Unavailable:
            if self.find(job_id) is None:
                raise

    def find(self, job_id: str) -> Job | None:
        """Return a job, None where Ray does not know it."""
        answer = self._exchange("GET", f"/api/jobs/{job_id}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return self._read(Job, self._good(answer))

    def stop(self, job_id: str) -> None:
        """Ask Ray to stop a job; one that it does not know is left at that."""
        answer = self._exchange("POST", f"/api/jobs/{job_id}/stop")
        if answer.status_code != httpx.codes.NOT_FOUND:
            self._good(answer)

    def delete(self, job_id: str) -> None:
        """Forget a job that has ended."""
        self._checked("DELETE", f"/api/jobs/{job_id}")

    def logs(self, job_id: str) -> str:
        """Return all that a job printed, nothing where Ray does not know it."""
        answer = self._exchange("GET", f"/api/jobs/{job_id}/logs")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return ""
        return self._read(_Logs, self._good(answer)).logs or ""

    def _get(
        self, shape: type[_Shape], path: str, parameters: Mapping[str, str] | None = None
    ) -> _Shape:
        return self._read(shape, self._checked("GET", path, params=parameters))

    def _checked(self, method: str, path: str, **content: Any) -> httpx.Response:
        return self._good(self._exchange(method, path, **content))

    def _exchange(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **content)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"Ray at {self.address} does not answer ({type(error).__name__}). "
                "Start it with `ray start --head`, or mend PEFTWISE_RAY_ADDRESS."
            ) from None

    def _good(self, answer: httpx.Response) -> httpx.Response:
        if answer.status_code in _REFUSED:
            raise Unavailable(
                f"Ray at {self.address} refused the token (status {answer.status_code}). "
                "Set PEFTWISE_RAY_TOKEN to the cluster's token."
            )
        if answer.status_code != httpx.codes.OK:
            lines = answer.text.strip().splitlines() or ["nothing"]
            raise Unavailable(
                f"Ray at {self.address} answered {answer.status_code}: {lines[-1][:300]} "
                "Ray's own logs say more; try again later."
            )
        return answer

    def _read(self, shape: type[_Shape], answer: httpx.Response) -> _Shape:
        try:
            return shape.model_validate_json(answer.content)
        except ValidationError:
            raise Unavailable(
                f"What answers at {self.address} is not Ray's dashboard. "
                "Set PEFTWISE_RAY_ADDRESS to it, such as http://127.0.0.1:8265."
            ) from None


def _used_gpus(cluster: _Cluster) -> dict[str, float]:
    """Return how many GPUs of each node are given away; nothing is known of a cluster's start."""
    status = cluster.data.cluster_status
    if status is None or status.load_metrics_report.usage_by_node is None:
        return {}
    by_node = status.load_metrics_report.usage_by_node
    return {name: usage["GPU"][0] for name, usage in by_node.items() if "GPU" in usage}
