"""Attempts as processes of this machine, each the head of a session of its own.

A server that dies takes its attempts along: Linux tells them by `PR_SET_PDEATHSIG`. Elsewhere
they stop by themselves once they cannot renew their lease.
"""

import contextlib
import importlib.util
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from metadata.errors import Unavailable
from service.executors.devices import VISIBLE, choose, visible_devices
from service.executors.processes import KILL, MARK, family, how_it_ended, kill_group, send
from service.executors.spec import LOG_BYTES, Status
from service.settings import Settings

log = logging.getLogger(__name__)

CHECK_SECONDS = 30.0  # for an interpreter to say what it has; a cold disk takes a few
NEEDED = ("torch", "transformers", "peft", "training_worker")
# Everything else stays here: our own settings hold the key and the database's password.
PASSED_ON = frozenset(
    {"PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "VIRTUAL_ENV"}
    | {"PYTHONPATH", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"}
)
PASSED_ON_PREFIXES = ("LC_", "XDG_", "CUDA_", "NVIDIA_", "HF_", "TRANSFORMERS_", "OMP_", "MKL_")
# Asks for a signal at the parent's death, unless it is dead already, and becomes the worker.
_LAUNCH = """\
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 15)  # PR_SET_PDEATHSIG, SIGTERM
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
_HAS = "import importlib.util as u, sys; print(*(n for n in sys.argv[1:] if not u.find_spec(n)))"


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    slots: int  # one a device
    devices: tuple[str, ...]
    kill_at: float | None = None  # by the monotonic clock, once it was asked to stop
    asked: frozenset[psutil.Process] = field(default_factory=frozenset)


class LocalExecutor:
    """Runs attempts as subprocesses, a few at a time, each on devices of its own."""

    def __init__(self, settings: Settings, *, url: str | None = None) -> None:
        """Keep where the server is, which interpreter trains and where logs go.

        Args:
            settings: Of this machine.
            url: Of a service elsewhere; None is the server of the settings.
        """
        self._settings = settings
        self._url = settings.url if url is None else url
        self._logs = settings.data_dir / "logs"
        self._children: dict[str, _Child] = {}
        self._started: set[str] = set()
        self._devices: tuple[str, ...] | None = None  # not looked for yet
        self._is_ready = False

    def missing(self) -> str | None:
        """Say what the worker lacks: packages, which nothing imports to find out, or GPUs."""
        if self._is_ready:
            return None
        if (too_few := self._lacking_devices()) is not None:
            return too_few
        lacking = _lacking(self._settings.worker_python)
        self._is_ready = lacking == ()
        if lacking is None:
            return (
                "Training needs a Python that runs, and PEFTWISE_WORKER_PYTHON does not. "
                "Set it to the interpreter in which peftwise[worker] is installed."
            )
        if not lacking:
            return None
        return (
            f"Training needs {', '.join(lacking)}, not installed in the worker's Python. "
            "Run `pip install peftwise[worker]` there and submit the job again."
        )

    def capacity(self) -> int:
        """Return how many more attempts may start now, each on `devices_per_run` devices."""
        each = self._settings.devices_per_run
        taken = sum(child.slots for child in self._children.values())
        return max(0, self._settings.parallel_runs * each - taken) // each

    def submit(self, attempt_id: str, code: str, *, devices: int = 1) -> None:
        """Start an attempt; its claim code goes through its standard input.

        Raises:
            Unavailable: The process could not be started, or there are too few GPUs.
        """
        if attempt_id in self._started:
            return
        given = self._choose_devices(devices)
        process = self._start(attempt_id, given, processes=devices)
        self._started.add(attempt_id)
        self._children[attempt_id] = _Child(process, slots=devices, devices=given)
        _tell(process, code)

    def status(self) -> Mapping[str, Status]:
        """Return how each attempt is; what outlived its attempt or its notice is killed here."""
        found = {}
        for attempt_id, child in list(self._children.items()):
            code = child.process.poll()
            if code is not None:
                _kill(attempt_id, child)  # what it left behind
                del self._children[attempt_id]
                found[attempt_id] = Status(is_running=False, how=how_it_ended(code))
                continue
            if child.kill_at is not None and time.monotonic() >= child.kill_at:
                _kill(attempt_id, child)
            found[attempt_id] = Status(is_running=True, how="its process runs")
        return found

    def cancel(self, attempt_id: str) -> None:
        """Ask an attempt to stop; `status` kills it if it does not."""
        child = self._children.get(attempt_id)
        if child is not None and child.kill_at is None:
            child.kill_at = time.monotonic() + self._settings.stop_seconds
            child.asked = family(child.process, attempt_id)
            send(child.asked, signal.SIGTERM)

    def recover(self, attempt_ids: Iterable[str]) -> frozenset[str]:
        """Return none: they died with the server that started them."""
        del attempt_ids
        return frozenset()

    def logs(self, attempt_id: str, *, last_bytes: int = LOG_BYTES) -> bytes:
        """Return the end of an attempt's log file."""
        return end_of(self._logs / f"{attempt_id}.log", last_bytes)

    def close(self) -> None:
        """Stop every attempt and wait until all are gone."""
        for attempt_id in list(self._children):
            self.cancel(attempt_id)
        for attempt_id, child in self._children.items():
            try:
                child.process.wait(max(0.0, (child.kill_at or 0.0) - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("process %s did not stop when asked", child.process.pid)
            _kill(attempt_id, child)
            child.process.wait()
        self._children.clear()

    def _lacking_devices(self) -> str | None:
        try:
            self._choose_devices(self._settings.devices_per_run)
        except Unavailable as error:
            return f"{error} PEFTWISE_DEVICES_PER_RUN says how many train one job."
        return None

    def _choose_devices(self, count: int) -> tuple[str, ...]:
        if self._devices is None:
            self._devices = visible_devices(os.environ)
        in_use = (name for child in self._children.values() for name in child.devices)
        return choose(self._devices, in_use, count)

    def _start(
        self, attempt_id: str, devices: tuple[str, ...], *, processes: int
    ) -> subprocess.Popen[bytes]:
        self._logs.mkdir(parents=True, exist_ok=True)
        environment = clean_environment(os.environ) | {MARK: attempt_id}
        if devices:
            environment[VISIBLE] = ",".join(devices)
        try:
            with (self._logs / f"{attempt_id}.log").open("ab") as output:
                return subprocess.Popen(
                    [*self._command(), *devices_option(processes)],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                )
        except OSError as error:
            raise Unavailable(f"The worker could not be started: {error.strerror}.") from None

    def _command(self) -> list[str]:
        python = str(self._settings.worker_python)
        return [python, "-c", _LAUNCH, str(os.getpid()), *self._worker()]

    def _worker(self) -> list[str]:
        adapters = self._settings.data_dir.resolve() / "adapters"
        attempt = ["-m", "training_worker", "attempt", "--server", self._url]
        return [*attempt, "--output-dir", str(adapters)]


def devices_option(count: int) -> tuple[str, ...]:
    """Return what tells an attempt how many processes train together, one a device."""
    return () if count == 1 else ("--devices", str(count))


def clean_environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return what a worker needs of an environment, without the server's own settings."""
    return {
        name: value
        for name, value in given.items()
        if name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES)
    }


def end_of(path: Path, last_bytes: int) -> bytes:
    """Return the last bytes of a file, none where it is not there."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - last_bytes))
            return file.read(last_bytes)
    except FileNotFoundError:
        return b""


def _lacking(python: Path) -> tuple[str, ...] | None:
    """Return the packages that an interpreter lacks; None where it does not run."""
    if str(python) == sys.executable:
        return tuple(name for name in NEEDED if importlib.util.find_spec(name) is None)
    try:
        answer = subprocess.run(
            [str(python), "-c", _HAS, *NEEDED],
            capture_output=True,
            check=True,
            text=True,
            timeout=CHECK_SECONDS,
            env=clean_environment(os.environ),
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return tuple(answer.stdout.split())


def _tell(process: subprocess.Popen[bytes], code: str) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it has ended already, and `status` will say so
        process.stdin.write(code.encode() + b"\n")
        process.stdin.close()


def _kill(attempt_id: str, child: _Child) -> None:
    left = child.asked | family(child.process, attempt_id)
    kill_group(child.process)
    send(left, KILL)
