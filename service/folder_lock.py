"""One server that runs jobs a data folder: a second would take the first one's jobs for lost."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metadata.errors import Conflict

try:
    import fcntl
except ImportError:  # Windows has no such locks; there the rule is only written
    fcntl = None  # type: ignore[assignment]

LOCK = "server.lock"


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Hold the only right to run a data folder's jobs; it ends with the process, however it dies.

    Raises:
        Conflict: Another server holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(handle)
        yield
    finally:
        os.close(handle)


def check_free(folder: Path) -> None:
    """Let a data folder pass that no server holds now.

    Raises:
        Conflict: One does.
    """
    with hold_folder(folder):
        pass


def _lock(handle: int) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Conflict(
            "Another server runs on this data folder. Use that one, stop it, or choose another "
            "folder with --data-dir."
        ) from None
