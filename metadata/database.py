"""The database: SQLite in a file by default, PostgreSQL by a URL, one schema history for both.

Tables stand beside what uses them and share `Base`; `metadata/migrations` makes them.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import (
    URL,
    Connection,
    DateTime,
    Dialect,
    Engine,
    MetaData,
    String,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeDecorator

from metadata.errors import Conflict, InvalidRequest, Unavailable

SQLITE_BUSY_SECONDS = 30  # longer than any transaction of ours
CONNECT_SECONDS = 2  # a server that is away is reported, not waited for
MIGRATION_LOCK = 0x7065667477697365  # "peftwise" in ASCII, as PostgreSQL's lock number
_one_migration_a_process = Lock()  # alembic keeps its context in a global

# The same order of text on both databases; PostgreSQL's own depends on its locale.
Text = String().with_variant(String(collation="C"), "postgresql")


class Base(DeclarativeBase):
    """The base of every table; names of constraints follow one rule, so migrations can say them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: any time zone goes in, UTC comes out. SQLite alone would forget the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn a moment into UTC; one without a time zone is a bug of ours."""
        if value is None:
            return None
        assert value.tzinfo is not None, f"a moment without a time zone: {value}"
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def open_database(url: str) -> Engine:
    """Open a database at the newest schema, making its file, folders and tables where needed.

    Several processes may do so at once: the first one migrates, the others wait.

    Args:
        url: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/NAME`.

    Raises:
        InvalidRequest: The URL is not one of these two, or its folder cannot be made.
        Conflict: The database is newer than this version of Peftwise.
        Unavailable: The database does not answer. No message shows the password.
    """
    parsed = parse_url(url)
    engine = _sqlite_engine(parsed) if _is_sqlite(parsed) else _postgresql_engine(parsed)
    try:
        if _is_sqlite(parsed):
            _retry_while_locked(engine, "PRAGMA journal_mode=WAL")
        migrate(engine)
    except CommandError as error:
        engine.dispose()
        raise Conflict(
            f"The schema of {_shown(parsed)} is unknown to this version ({error}). "
            "Upgrade peftwise, or open another database."
        ) from None
    except (DBAPIError, sqlite3.Error) as error:
        engine.dispose()
        raise Unavailable(
            f"{_shown(parsed)} cannot be opened: {_first_line(error, parsed)}. "
            "Check that it is there, that it runs, and that the user and password are right."
        ) from None
    return engine


def parse_url(url: str) -> URL:
    """Return a database URL with the driver we use; the password stays hidden when printed."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the value may hold a password: it is not repeated
        raise InvalidRequest(_url_rule("something else"), param="database_url") from None
    if parsed.drivername in {"postgres", "postgresql", "postgresql+psycopg"}:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in {"sqlite", "sqlite+pysqlite"}:
        raise InvalidRequest(_url_rule(f"`{parsed.drivername}`"), param="database_url")
    if parsed.database in {None, "", ":memory:"}:
        raise InvalidRequest(_url_rule("SQLite without a file"), param="database_url")
    return parsed


@contextmanager
def read_session(engine: Engine) -> Iterator[Session]:
    """Open a session that only reads: on SQLite it neither waits for writers nor stops them."""
    with Session(engine.execution_options(sqlite_begin="BEGIN DEFERRED")) as session:
        yield session


@contextmanager
def write_session(engine: Engine) -> Iterator[Session]:
    """Open a session in one transaction, committed at the end unless an error leaves it."""
    with Session(engine) as session, session.begin():
        yield session


def migrate(engine: Engine, revision: str = "head") -> None:
    """Bring the schema up to a revision in one transaction, one process at a time."""
    with _one_migration_a_process, _migrating(engine) as connection:
        command.upgrade(migrations(connection), revision)


def migrations(connection: Connection) -> Config:
    """Return alembic's settings for the schema history in this package."""
    config = Config()
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))  # % would interpolate
    config.attributes["connection"] = connection
    return config


@contextmanager
def _migrating(engine: Engine) -> Iterator[Connection]:
    """Hold the only right to migrate: SQLite's write lock, or PostgreSQL's advisory lock."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            # Rebuilding a table with foreign keys on would delete the rows that point to it.
            _set_foreign_keys(connection, on=False)
        try:
            with connection.begin():
                if engine.dialect.name == "postgresql":
                    connection.execute(
                        text("SELECT pg_advisory_xact_lock(:number)"), {"number": MIGRATION_LOCK}
                    )
                yield connection
        finally:
            if engine.dialect.name == "sqlite":
                _set_foreign_keys(connection, on=True)


def _sqlite_engine(url: URL) -> Engine:
    try:
        Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidRequest(
            f"The folder of {_shown(url)} cannot be made: {error.strerror}. "
            "Choose a folder that you may write to with --data-dir or --database-url.",
            param="database_url",
        ) from None
    engine = create_engine(url, connect_args={"timeout": SQLITE_BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves: Python's driver does so too late
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA synchronous=FULL")  # what is committed survives a power loss


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock first: a reader that turns writer could fail at once, unwaited."""
    options = connection.get_execution_options()
    connection.exec_driver_sql(options.get("sqlite_begin", "BEGIN IMMEDIATE"))


def _set_foreign_keys(connection: Connection, *, on: bool) -> None:
    """Use the driver itself: inside a transaction SQLite ignores this pragma."""
    raw = connection.connection.dbapi_connection
    assert isinstance(raw, sqlite3.Connection)
    raw.execute(f"PRAGMA foreign_keys={'ON' if on else 'OFF'}")


def _retry_while_locked(engine: Engine, pragma: str) -> None:
    """Run a pragma that SQLite refuses at once, without its usual wait, while others look on."""
    deadline = time.monotonic() + SQLITE_BUSY_SECONDS
    while True:
        raw = engine.raw_connection()
        try:
            raw.cursor().execute(pragma)
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        finally:
            raw.close()


def _postgresql_engine(url: URL) -> Engine:
    try:
        engine = create_engine(
            url, pool_pre_ping=True, connect_args={"connect_timeout": CONNECT_SECONDS}
        )
    except ModuleNotFoundError:
        raise InvalidRequest(
            "PostgreSQL needs the package psycopg, which is not installed. "
            "Run `pip install peftwise[postgres]`.",
            param="database_url",
        ) from None
    event.listen(engine, "connect", _speak_utc, insert=True)
    return engine


def _speak_utc(connection: object, _: ConnectionPoolEntry) -> None:
    """Ask the server for UTC, so that its own time zone changes nothing."""
    connection.autocommit = True  # type: ignore[attr-defined]
    connection.execute("SET TIME ZONE 'UTC'")  # type: ignore[attr-defined]
    connection.autocommit = False  # type: ignore[attr-defined]


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _shown(url: URL) -> str:
    """Name a database without its user, password and options."""
    if _is_sqlite(url):
        return f"The SQLite file {url.database}"
    return f"The PostgreSQL database {url.database!r} on {url.host or 'this machine'}"


def _first_line(error: DBAPIError | sqlite3.Error, url: URL) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    line = str(cause).strip().partition("\n")[0].rstrip(".")
    for secret in (url.password, url.query.get("password")):
        if secret:
            line = line.replace(str(secret), "***")
    return line


def _url_rule(seen: str) -> str:
    return (
        "A database URL reads sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME, "
        f"got {seen}. Mend --database-url or PEFTWISE_DATABASE_URL."
    )
