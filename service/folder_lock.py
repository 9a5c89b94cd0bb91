"""One server a data folder and a SQLite file: a second would take the first one's jobs for lost."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from metadata.database import sqlite_file
from metadata.errors import Conflict, InvalidRequest
from service.settings import Settings

try:
    import fcntl
except ImportError:  # Windows has no such locks; there the rule is only written
    fcntl = None  # type: ignore[assignment]

LOCK = "server.lock"  # in the data folder; beside a SQLite file with its name before it
_FOLDER = "Another server runs on this data folder{who}."
_FOLDER_STEP = "Use that one, stop it, or choose another folder with --data-dir."
_DATABASE = "Another server runs on this SQLite database{who}."
_DATABASE_STEP = (
    "Use that one, stop it, or choose another database with --database-url; PostgreSQL takes "
    "several servers."
)


@contextmanager
def hold_server(settings: Settings) -> Iterator[None]:
    """Hold all that one server alone may have; it ends with the process, however it dies.

    Raises:
        Conflict: Another server holds the SQLite file, or runs the data folder's jobs.
        InvalidRequest: The place of a lock cannot be written to.
    """
    with ExitStack() as held:
        if settings.executor != "none":
            held.enter_context(hold_folder(settings.data_dir))
        held.enter_context(hold_database(settings.database))
        yield


def check_server(settings: Settings) -> None:
    """Let settings pass under which a server could start now.

    Raises:
        Conflict: Another server is in the way.
        InvalidRequest: The place of a lock cannot be written to.
    """
    with hold_server(settings):
        pass


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Hold the only right to run a data folder's jobs; it ends with the process, however it dies.

    Raises:
        Conflict: Another server holds it.
        InvalidRequest: The folder cannot be written to.
    """
    with _held(folder / LOCK, rule=_FOLDER, step=_FOLDER_STEP):
        yield


@contextmanager
def hold_database(url: str) -> Iterator[None]:
    """Hold the only right to serve a SQLite file, by whatever name it is called.

    The lock lies beside the file: SQLite would lose its own locks on a file that we close.

    Raises:
        Conflict: Another server holds it.
        InvalidRequest: Its folder cannot be written to.
    """
    file = sqlite_file(url)
    if file is None:  # PostgreSQL takes several servers
        yield
        return
    with _held(file.with_name(f"{file.name}.{LOCK}"), rule=_DATABASE, step=_DATABASE_STEP):
        yield


@contextmanager
def _held(lock: Path, *, rule: str, step: str) -> Iterator[None]:
    handle = _open(lock)
    try:
        if not _is_locked(handle):
            raise Conflict(f"{rule.format(who=_holder(handle))} {step}")
        _note_holder(handle)
        yield
    finally:
        os.close(handle)


def _open(lock: Path) -> int:
    """Open a lock; programs that are started do not inherit it."""
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        return os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise InvalidRequest(
            f"A server needs the file {lock.name} in {lock.parent}, got: {error.strerror}. "
            "Choose a folder that you may write to with --data-dir or --database-url."
        ) from None


def _is_locked(handle: int) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _note_holder(handle: int) -> None:
    os.ftruncate(handle, 0)
    os.pwrite(handle, str(os.getpid()).encode(), 0)


def _holder(handle: int) -> str:
    """Name the process that holds a lock, as far as it has said so."""
    noted = os.pread(handle, 20, 0).decode(errors="replace").strip()
    return f" (process {noted})" if noted.isdigit() else ""
