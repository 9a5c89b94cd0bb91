"""SQLite as a server needs it: writers take turns, readers do not wait, a commit is on the disk."""

import sqlite3
import time
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from metadata.errors import InvalidRequest

BUSY_SECONDS = 30  # longer than any transaction of ours; `?timeout=` in the URL says another
POOL_SIZE = 10  # connections that are kept
POOL_MORE = 40  # as many again as threads that answer
POOL_SECONDS = 2.0  # then too much is asked at once


def sqlite_engine(url: URL) -> Engine:
    """Return an engine for a file, whose folder is made where needed.

    Raises:
        InvalidRequest: The folder cannot be made.
    """
    try:
        Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidRequest(
            f"The folder of the SQLite file {url.database} cannot be made: {error.strerror}. "
            "Choose a folder that you may write to with --data-dir or --database-url.",
            param="database_url",
        ) from None
    engine = create_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=POOL_MORE,
        pool_timeout=POOL_SECONDS,
        hide_parameters=True,  # they may be hashes of tokens, and errors go to the log
        connect_args={} if "timeout" in url.query else {"timeout": BUSY_SECONDS},
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def log_writes_ahead(engine: Engine) -> None:
    """Turn to WAL, which SQLite refuses at once, without its usual wait, while others look on."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        raw = engine.raw_connection()
        try:
            raw.cursor().execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        finally:
            raw.close()


def set_foreign_keys(connection: Connection, *, on: bool) -> None:
    """Use the driver itself: inside a transaction SQLite ignores this pragma."""
    raw = connection.connection.dbapi_connection
    assert isinstance(raw, sqlite3.Connection)
    raw.execute(f"PRAGMA foreign_keys={'ON' if on else 'OFF'}")


def _prepare(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves: Python's driver does so too late
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA synchronous=FULL")  # what is committed survives a power loss


def _begin(connection: Connection) -> None:
    """Take the write lock first: a reader that turns writer could fail at once, unwaited."""
    options = connection.get_execution_options()
    connection.exec_driver_sql(options.get("sqlite_begin", "BEGIN IMMEDIATE"))
