"""PostgreSQL as a server needs it: no wait without an end, whatever becomes of the other side.

The server's own limits hold while it works, keepalives see a machine that is gone, and a deadline
on this side sees a server that stands still: then nothing but our clock would tell.

Imported only where a URL asks for it: psycopg is an optional extra.
"""

import time
from collections.abc import Generator
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.waiting import Ready, Wait
from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

CONNECT_SECONDS = 2  # a server that is away is reported, not waited for
PING_SECONDS = 2.0  # the same, for one that was there before
POOL_SIZE = 20  # half of the threads that answer; PostgreSQL itself has 100 connections
POOL_SECONDS = 2.0  # then too much is asked at once
STATEMENT_SECONDS = 30  # longer than any statement of a route
ANSWER_SECONDS = 2.0  # for a statement that was cut off, until that is said
KEEPALIVE = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds that what was sent may stay unconfirmed
}
_FRESH = "is_fresh"


class PatientConnection(psycopg.Connection[Any]):
    """A connection that closes itself when the server has been silent for too long."""

    silence_seconds: float = CONNECT_SECONDS

    def wait(self, gen: PQGen[RV], *args: Any, **kwargs: Any) -> RV:
        """Wait for the server as psycopg does, but not for ever.

        Raises:
            OperationalError: The time is up; the connection is closed then.
        """
        return super().wait(self._until(gen, self.silence_seconds), *args, **kwargs)

    def _until(self, waiting: PQGen[RV], seconds: float) -> Generator[Wait, Ready | int, RV]:
        """Pass on what psycopg waits for; it comes by every 0.1 s, ready or not."""
        deadline = time.monotonic() + seconds
        try:
            wanted = next(waiting)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > deadline:
                    self.close()
                    raise psycopg.OperationalError(f"the server was silent for {seconds:g} s")
                wanted = waiting.send(ready)
        except StopIteration as ended:
            answer: RV = ended.value
            return answer


def postgresql_engine(url: URL) -> Engine:
    """Return an engine whose connections come from a pool of a fixed size, each looked at first."""
    usual = {"connect_timeout": CONNECT_SECONDS, **KEEPALIVE}
    engine = create_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
        hide_parameters=True,  # they may be hashes of tokens, and errors go to the log
        connect_args={name: value for name, value in usual.items() if name not in url.query},
    )
    event.listen(engine, "do_connect", _connect)
    event.listen(engine, "connect", _prepare, insert=True)
    event.listen(engine, "checkout", _look)
    return engine


def _connect(_: object, __: object, given: list[Any], named: dict[str, Any]) -> PatientConnection:
    return PatientConnection.connect(*given, **named)


def _prepare(connection: PatientConnection, entry: ConnectionPoolEntry) -> None:
    """Ask the server for UTC, so that its own time zone changes nothing, and for an end."""
    connection.autocommit = True
    connection.execute("SET TIME ZONE 'UTC'")
    connection.execute(f"SET statement_timeout = '{STATEMENT_SECONDS}s'")
    connection.autocommit = False
    entry.info[_FRESH] = True


def _look(
    connection: PatientConnection, entry: ConnectionPoolEntry, _: PoolProxiedConnection
) -> None:
    """See that a connection of before still has a server, else drop all that are as old."""
    if not entry.info.pop(_FRESH, False):
        _ping(connection)
    connection.silence_seconds = STATEMENT_SECONDS + ANSWER_SECONDS


def _ping(connection: PatientConnection) -> None:
    try:
        connection.silence_seconds = PING_SECONDS
        connection.autocommit = True
        connection.execute("SELECT 1")
        connection.autocommit = False
    except psycopg.Error as error:
        raise InvalidatePoolError(str(error)) from None
