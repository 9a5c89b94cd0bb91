"""The child that trains: started with its work, listened to, asked to stop, killed."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO

import psutil

from training_worker.descendants import PR_SET_PDEATHSIG, kill_descendants

_PIECE = 65_536  # bytes of what the trainer prints, read at once
_PARENT = "PEFTWISE_PARENT"  # names the process at whose death the launcher, then a rank, dies
_SURE = int(getattr(signal, "SIGKILL", signal.SIGTERM))  # Windows has the one only
# Becomes the launcher or a rank, and asks before that to be killed when its parent dies: a rank
# imports torch for seconds before it could ask itself.
_DIE_WITH_PARENT = f"""\
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl({PR_SET_PDEATHSIG}, {_SURE})
    if os.getppid() != int(os.environ["{_PARENT}"]):
        sys.exit(1)
os.environ["{_PARENT}"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def command_of(processes: int, *, trainer: Sequence[str], work: IO[bytes]) -> list[str]:
    """Return how to start a trainer: alone, or by torch's launcher as so many ranks.

    Ranks share no standard input: they read their work from this process's open file instead.
    """
    if processes == 1:
        return [sys.executable, *trainer]
    bound = [sys.executable, "-c", _DIE_WITH_PARENT]
    launcher = ["-m", "training_worker.launcher", str(processes)]
    file = ["--work", f"/proc/{os.getpid()}/fd/{work.fileno()}"]
    return [*bound, *launcher, *bound, *trainer, *file]


def environment_of(processes: int, given: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a trainer; ranks share the threads that one process would have."""
    # Threads that spin long while they wait for each other make a small model crawl on a machine
    # that is shared: a third less time there, and no more on an idle one.
    environment = {"GOMP_SPINCOUNT": "20000", **given, _PARENT: str(os.getpid())}
    threads = given.get("OMP_NUM_THREADS") or str(_processors())
    if processes > 1 and threads.isdecimal():
        environment["OMP_NUM_THREADS"] = str(max(1, int(threads) // processes))
    return environment


def _processors() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Trainer:
    """Dies with this process, and can be stopped and killed from any thread."""

    def __init__(self, *, processes: int, trainer: Sequence[str]) -> None:
        """Start nothing yet.

        Args:
            processes: How many train together, one a device.
            trainer: Arguments of the interpreter that start one.
        """
        self._processes, self._trainer = processes, trainer
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._is_stopped = self._is_killed = False
        self._listener: threading.Thread | None = None

    def start(self, work: IO[bytes], *, on_print: Callable[[bytes], None]) -> IO[bytes]:
        """Start the child with its work; return where it answers.

        Args:
            work: The open file of its `Work`, at its front.
            on_print: Told what it writes to standard error, from a thread.
        """
        with self._lock:
            process = self._process = subprocess.Popen(
                command_of(self._processes, trainer=self._trainer, work=work),
                stdin=work,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment_of(self._processes, os.environ),
            )
            self._send_what_was_asked()
        assert process.stdout is not None
        assert process.stderr is not None
        self._listener = threading.Thread(
            target=_listen, args=(process.stderr, on_print), name="log", daemon=True
        )
        self._listener.start()
        return process.stdout

    def wait(self) -> int:
        """Return the child's exit code once it has ended and all that it printed was heard."""
        assert self._process is not None
        code = self._process.wait()
        if self._listener is not None:
            self._listener.join(1.0)
        return code

    def stop(self) -> None:
        """Ask the child to write a checkpoint and end."""
        with self._lock:
            self._is_stopped = True
            self._send_what_was_asked()

    def kill(self) -> None:
        """End the child and all that it started at once."""
        with self._lock:
            self._is_killed = True
            self._send_what_was_asked()
        kill_descendants()

    def _send_what_was_asked(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        if self._is_killed:
            self._process.kill()
        elif self._is_stopped and self._processes == 1:
            self._process.send_signal(signal.SIGTERM)
        elif self._is_stopped:
            self._stop_ranks(self._process)

    def _stop_ranks(self, launcher: subprocess.Popen[bytes]) -> None:
        """Ask each rank itself: a launcher that is asked twice leaves its ranks in the lurch.

        An executor asks every process of an attempt. Where no rank has begun there is nothing to
        keep.
        """
        with contextlib.suppress(psutil.NoSuchProcess):
            ranks = psutil.Process(launcher.pid).children()
            if not ranks:
                launcher.kill()
            for one in ranks:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.send_signal(signal.SIGTERM)


def _listen(source: IO[bytes], on_print: Callable[[bytes], None]) -> None:
    while piece := os.read(source.fileno(), _PIECE):
        on_print(piece)
