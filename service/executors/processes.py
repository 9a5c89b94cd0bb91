"""All processes of an attempt, found and signalled in whatever session or group they are.

A rank of a distributed training has a session of its own, so a group's signal does not reach it;
once its parent is gone the tree does not lead to it either. Each therefore carries a mark.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable

import psutil

MARK = "PEFTWISE_ATTEMPT"  # the environment variable with the attempt's id, which is no secret
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has the one only


def family(process: subprocess.Popen[bytes], attempt_id: str) -> frozenset[psutil.Process]:
    """Return an attempt's process and all that it started and that still run."""
    return frozenset({*_tree(process), *_marked(attempt_id)})


def send(processes: Iterable[psutil.Process], number: int) -> None:
    """Signal each process that is still the same one."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.send_signal(number)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left in the group that a process was started as the head of."""
    # Nobody may be left, which macOS says by the second error.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, KILL)


def how_it_ended(code: int) -> str:
    """Say an exit code in words; below zero it is the signal that killed the process."""
    if code >= 0:
        return f"its process ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    return f"its process was killed by signal {-code} ({name})"


def _tree(process: subprocess.Popen[bytes]) -> Iterable[psutil.Process]:
    if process.returncode is not None:  # its number may be another's by now
        return ()
    try:
        head = psutil.Process(process.pid)
        return (head, *head.children(recursive=True))
    except psutil.NoSuchProcess:
        return ()


def _marked(attempt_id: str) -> Iterable[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == attempt_id:
                yield process
