"""Attempts as jobs of a Ray cluster, asked for over HTTP; they outlive this server.

A claim code must be read by its attempt alone. Ray shows a job's entrypoint, environment and
metadata to all who may look, so the code goes as the one file of the job's working folder, which
the attempt reads and removes. An attempt asks for whole GPUs and never for memory: Ray starts a
job that asks for more memory than there is.
"""

import logging
import math
import secrets
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from metadata.errors import InvalidRequest, Unavailable
from service.executors.local import devices_option, end_of
from service.executors.processes import how_it_ended
from service.executors.ray_jobs import Job, Node, RayJobs
from service.executors.spec import LOG_BYTES, Status
from service.settings import Settings

log = logging.getLogger(__name__)

CODE_FILE = "claim-code"
KEPT_BYTES = 2**20  # of a log, once its job has ended
_REASON_CHARACTERS = 500  # of Ray's own words, which may be a traceback


class RayExecutor:
    """Runs attempts on the free GPUs of a Ray cluster, or on its processors where it has none."""

    def __init__(self, settings: Settings) -> None:
        """Keep where Ray is; nothing is sent yet.

        Raises:
            InvalidRequest: The settings do not say where Ray is.
        """
        self._settings = settings
        self._logs = settings.data_dir / "logs"
        token = settings.ray_token
        self._ray = RayJobs(
            _address(settings), token=None if token is None else token.get_secret_value()
        )
        self._under_way: dict[str, int] = {}  # attempt -> devices
        self._started: set[str] = set()

    def missing(self) -> str | None:
        """Say why Ray cannot be used, if so: it is away, or no node has GPUs enough."""
        try:
            most = max((node.gpus for node in self._ray.nodes()), default=0.0)
        except Unavailable as error:
            return str(error)
        needed = self._settings.devices_per_run
        if not 0 < most < needed:
            return None
        return (
            f"An attempt needs {needed} GPUs of one node, the largest node of Ray has {most:.0f}. "
            "Lower PEFTWISE_DEVICES_PER_RUN, or add such a node."
        )

    def capacity(self) -> int:
        """Return for how many attempts whole GPUs are free, those of each on one node.

        Without any GPUs it is what is left of `parallel_runs`; without a node, as in the first
        seconds of a cluster, nothing can start.
        """
        try:
            nodes = self._ray.nodes()
        except Unavailable:
            return 0
        if not nodes:
            return 0
        total, each = sum(node.gpus for node in nodes), self._settings.devices_per_run
        if total == 0:
            return max(0, self._settings.parallel_runs - len(self._under_way))
        # What Ray reports lags some seconds behind what was started.
        not_ours = math.floor(total) - sum(self._under_way.values())
        return max(0, min(not_ours // each, sum(node.free_gpus // each for node in nodes)))

    def submit(self, attempt_id: str, code: str, *, devices: int = 1) -> None:
        """Start an attempt as a job of its own id.

        Raises:
            Unavailable: Ray did not take it, or is away.
        """
        if attempt_id in self._started:
            return
        if self._ray.find(attempt_id) is None:
            self._submit(attempt_id, code, devices)
        self._started.add(attempt_id)
        self._under_way[attempt_id] = devices

    def status(self) -> Mapping[str, Status]:
        """Return how each attempt is; of an ended one the log is kept and Ray forgets it.

        Raises:
            Unavailable: Ray is away.
        """
        jobs = {attempt_id: self._ray.find(attempt_id) for attempt_id in self._under_way}
        for attempt_id, job in jobs.items():
            if job is None or not job.is_under_way:
                self._put_away(attempt_id, job)
        return {attempt_id: _status(job) for attempt_id, job in jobs.items()}

    def cancel(self, attempt_id: str) -> None:
        """Have Ray signal every process of the attempt; it kills what is left in the end.

        Raises:
            Unavailable: Ray is away.
        """
        self._ray.stop(attempt_id)

    def recover(self, attempt_ids: Iterable[str]) -> frozenset[str]:
        """Return which attempts Ray still has under way, whoever started them.

        Raises:
            Unavailable: Ray is away.
        """
        jobs = {attempt_id: self._ray.find(attempt_id) for attempt_id in attempt_ids}
        for attempt_id, job in jobs.items():
            if job is not None:
                self._started.add(attempt_id)
                self._under_way.setdefault(attempt_id, self._settings.devices_per_run)
        return frozenset(name for name, job in jobs.items() if job and job.is_under_way)

    def logs(self, attempt_id: str, *, last_bytes: int = LOG_BYTES) -> bytes:
        """Return the end of what an attempt printed.

        Raises:
            Unavailable: The attempt runs and Ray is away.
        """
        kept = end_of(self._log_file(attempt_id), last_bytes)
        return kept or self._ray.logs(attempt_id).encode()[-last_bytes:]

    def close(self) -> None:
        """Leave the jobs running: a restart of this server must not end them."""

    def _submit(self, attempt_id: str, code: str, devices: int) -> None:
        package = self._ray.upload(f"peftwise-{secrets.token_hex(16)}", {CODE_FILE: code.encode()})
        grace_seconds = math.ceil(self._settings.stop_seconds)  # Ray reads whole seconds
        order = {
            "entrypoint": shlex.join([*self._command(), *devices_option(devices)]),
            "runtime_env": {
                "working_dir": package,
                "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(grace_seconds)},
            },
        }
        self._ray.submit(attempt_id, order | self._share(self._ray.nodes(), devices))

    def _share(self, nodes: tuple[Node, ...], devices: int) -> dict[str, int]:
        """Return what to ask for: GPUs, or an even share of the processors."""
        if any(node.gpus for node in nodes):
            return {"entrypoint_num_gpus": devices}
        shares = self._settings.parallel_runs * self._settings.devices_per_run
        total = sum(node.cpus for node in nodes) * devices / shares
        largest = max((node.cpus for node in nodes), default=1.0)
        return {"entrypoint_num_cpus": max(1, math.floor(min(total, largest)))}

    def _command(self) -> list[str]:
        settings = self._settings
        python = settings.ray_python or settings.worker_python
        output_dir = settings.ray_output_dir or settings.data_dir.resolve() / "adapters"
        # `exec`: the shell that Ray starts must not stand between a signal and the attempt.
        attempt = ["exec", str(python), "-m", "training_worker", "attempt"]
        server = ["--server", settings.ray_server_url or settings.url]
        return [*attempt, *server, "--output-dir", str(output_dir), "--code-file", CODE_FILE]

    def _put_away(self, attempt_id: str, job: Job | None) -> None:
        """Keep the log of an attempt that has ended and have Ray forget it."""
        del self._under_way[attempt_id]
        if job is None:
            return
        try:
            text = self._ray.logs(attempt_id).encode()[-KEPT_BYTES:]
            self._logs.mkdir(parents=True, exist_ok=True)
            self._log_file(attempt_id).write_bytes(text)
            self._ray.delete(attempt_id)  # the list of jobs would grow for ever
        except (Unavailable, OSError) as error:
            log.warning("the log of attempt %s stays with Ray: %s", attempt_id, error)

    def _log_file(self, attempt_id: str) -> Path:
        return self._logs / f"{attempt_id}.log"


def _address(settings: Settings) -> str:
    address = settings.ray_address or ""
    if urlsplit(address).scheme not in {"http", "https"}:
        raise InvalidRequest(
            "PEFTWISE_EXECUTOR=ray needs PEFTWISE_RAY_ADDRESS, the http address of Ray's "
            f"dashboard, got {address!r}. Set it, to http://127.0.0.1:8265 for a Ray of this "
            "machine."
        )
    return address


def _status(job: Job | None) -> Status:
    """Say Ray's words in ours."""
    if job is None:
        return Status(is_running=False, how="Ray does not know it any more")
    if job.is_under_way:
        waits = job.status == "PENDING"
        return Status(is_running=True, how="it waits for its place" if waits else "it runs")
    if job.driver_exit_code is not None:
        return Status(is_running=False, how=how_it_ended(job.driver_exit_code))
    if job.status == "STOPPED":
        return Status(is_running=False, how="it was stopped")
    words = (job.message or "no reason given").strip()[-_REASON_CHARACTERS:]
    return Status(is_running=False, how=f"Ray says {job.status}: {words}")
