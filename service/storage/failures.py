"""What a failure of the database or the disk means to a caller, if it is none of our own making."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    OperationalError,
    PendingRollbackError,
    TimeoutError,  # noqa: A004  # of its pool
)

from metadata.errors import NoSpace, PeftwiseError, Unavailable

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_POSTGRESQL_FULL = "53100"
_POSTGRESQL_FOR_NOW = ("08", "25", "40", "53", "57", "58")  # classes of SQLSTATE: away, not wrong
_AWAY = "The database does not answer. Send the request again in some seconds."
_LOCKED = (
    "Another program has held the database for too long. Send the request again in some seconds; "
    "if it stays so, look what else has the database file open."
)
_BUSY = "More is asked at once than the database answers. Send the request again in some seconds."
_NO_SPACE = (
    "The disk is full: nothing new was kept, and nothing of before is lost. "
    "Free space on it, then do the same again."
)


def meaning_of(error: Exception) -> PeftwiseError | None:
    """Return what a failure is to a caller, or None where it is a mistake of our own."""
    if isinstance(error, OSError):
        return NoSpace(_NO_SPACE) if error.errno in _FULL else None
    if _is_full(error):
        return NoSpace(_NO_SPACE)
    if isinstance(error, TimeoutError):
        return Unavailable(_BUSY)
    if isinstance(error, DBAPIError):
        return _meaning_of_driver(error)
    return Unavailable(_AWAY) if isinstance(error, PendingRollbackError) else None


def cause_of(error: Exception) -> str:
    """Return the reason in the driver's words, for the log: no statement and none of its values."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(cause).strip().partition("\n")[0] or type(cause).__name__


@contextmanager
def full_disk_told() -> Iterator[None]:
    """Turn a disk that is full into the error that says so."""
    try:
        yield
    except OSError as error:
        if (told := meaning_of(error)) is None:
            raise
        raise told from error


def _meaning_of_driver(error: DBAPIError) -> PeftwiseError | None:
    if _is_full(error.orig):
        return NoSpace(_NO_SPACE)
    if _sqlite_code(error.orig) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return Unavailable(_LOCKED)
    state = getattr(error.orig, "sqlstate", None) or ""
    is_away = error.connection_invalidated or state.startswith(_POSTGRESQL_FOR_NOW)
    if is_away or isinstance(error, OperationalError | InterfaceError):
        return Unavailable(_AWAY)
    return None


def _is_full(cause: BaseException | None) -> bool:
    if getattr(cause, "sqlstate", None) == _POSTGRESQL_FULL:
        return True
    return _sqlite_code(cause) == sqlite3.SQLITE_FULL


def _sqlite_code(cause: BaseException | None) -> int | None:
    """Return SQLite's primary code, which stands in the low byte of the extended one."""
    code = getattr(cause, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF
