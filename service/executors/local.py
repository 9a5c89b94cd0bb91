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
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from metadata.errors import Unavailable
from service.settings import Settings

log = logging.getLogger(__name__)

STOP_SECONDS = 10.0  # from the polite signal to the sure one
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
    kill_at: float | None = None  # by the monotonic clock, once it was asked to stop


class LocalExecutor:
    """Runs attempts as subprocesses, a few at a time."""

    def __init__(self, settings: Settings) -> None:
        """Keep where the server is, which interpreter trains and where logs go."""
        self._settings = settings
        self._logs = settings.data_dir / "logs"
        self._children: dict[str, _Child] = {}
        self._is_ready = False

    def missing(self) -> str | None:
        """Say which packages the worker's interpreter lacks; nothing is imported to find out."""
        if self._is_ready:
            return None
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
        """Return how many more attempts may start now."""
        return max(0, self._settings.parallel_runs - len(self._children))

    def submit(self, attempt_id: str, code: str) -> None:
        """Start an attempt; its claim code goes through its standard input.

        Raises:
            Unavailable: The process could not be started.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        try:
            with (self._logs / f"{attempt_id}.log").open("ab") as output:
                process = subprocess.Popen(
                    self._command(),
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=clean_environment(os.environ),
                    start_new_session=True,
                )
        except OSError as error:
            raise Unavailable(f"The worker could not be started: {error.strerror}.") from None
        self._children[attempt_id] = _Child(process)
        _tell(process, code)

    def running(self) -> frozenset[str]:
        """Return the attempts whose process has not been seen to end."""
        return frozenset(self._children)

    def ended(self) -> Mapping[str, str]:
        """Return how each attempt ended since the last call; late ones are killed here."""
        ended = {}
        for attempt_id, child in list(self._children.items()):
            code = child.process.poll()
            if code is not None:
                _signal_group(child.process, _KILL)  # what it left behind in its session
                ended[attempt_id] = _how_it_ended(code)
                del self._children[attempt_id]
            elif child.kill_at is not None and time.monotonic() >= child.kill_at:
                _signal_group(child.process, _KILL)
        return ended

    def stop(self, attempt_id: str) -> None:
        """Ask an attempt to stop; `ended` kills it if it does not."""
        child = self._children.get(attempt_id)
        if child is not None and child.kill_at is None:
            child.kill_at = time.monotonic() + STOP_SECONDS
            _signal_group(child.process, signal.SIGTERM)

    def close(self) -> None:
        """Stop every attempt and wait until all are gone."""
        for attempt_id in list(self._children):
            self.stop(attempt_id)
        for child in self._children.values():
            try:
                child.process.wait(max(0.0, (child.kill_at or 0.0) - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("process %s did not stop when asked", child.process.pid)
            _signal_group(child.process, _KILL)
            child.process.wait()
        self._children.clear()

    def _command(self) -> list[str]:
        python = str(self._settings.worker_python)
        return [python, "-c", _LAUNCH, str(os.getpid()), *self._worker()]

    def _worker(self) -> list[str]:
        adapters = self._settings.data_dir.resolve() / "adapters"
        attempt = ["-m", "training_worker", "attempt", "--server", self._settings.url]
        return [*attempt, "--output-dir", str(adapters)]


_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has the one only


def clean_environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return what a worker needs of an environment, without the server's own settings."""
    return {
        name: value
        for name, value in given.items()
        if name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES)
    }


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
    with contextlib.suppress(BrokenPipeError):  # it has ended already, and `ended` will say so
        process.stdin.write(code.encode() + b"\n")
        process.stdin.close()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    # Nobody may be left, which macOS says by the second error.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"its process ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    return f"its process was killed by signal {-code} ({name})"
