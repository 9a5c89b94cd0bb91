"""Every process that came of this one, whatever session it runs in.

Launchers put each rank into a session of its own, so no group of processes covers them all. On
Linux this process adopts what loses its parent, so that a walk down from it finds everything.
"""

import contextlib
import ctypes
import signal
import sys
import time

import psutil

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # of Linux's prctl
_GONE_SECONDS = 5.0


def adopt_orphans() -> None:
    """Become the parent of every descendant that loses its own."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_descendants() -> None:
    """Kill everything that this process has started, and what that has started since."""
    deadline = time.monotonic() + _GONE_SECONDS
    while (found := _alive()) and time.monotonic() < deadline:
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        time.sleep(0.02)


def _alive() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
