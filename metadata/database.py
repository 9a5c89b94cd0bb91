"""The database: SQLite in a file by default, PostgreSQL by a URL, one schema history for both.

Tables stand beside what uses them and share `Base`; `metadata/migrations` makes them.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

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
    make_url,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

from metadata.errors import Conflict, InvalidRequest, Unavailable, UnknownFate
from metadata.sqlite import log_writes_ahead, set_foreign_keys, sqlite_engine

try:
    from metadata.postgresql import postgresql_engine
except ImportError:  # its driver is an optional extra
    postgresql_engine = None  # type: ignore[assignment]

MIGRATION_SECONDS = 600  # of one statement: a large table may have to be copied
MIGRATION_LOCK = 0x7065667477697365  # "peftwise" in ASCII, as PostgreSQL's lock number
_UNKNOWN = (
    "The database went away while this was written: it is not known whether it was. "
    "Look before you send it again; with the same Idempotency-Key it is safe to."
)
_MAP_FILE = f"PRAGMA mmap_size={2**40}"  # SQLite itself takes at most 2 GiB
_LET_FILE_GO = "PRAGMA mmap_size=0"
_one_migration_a_process = Lock()  # alembic keeps its context in a global

# An insert that can say what happens to rows that are there already, by the dialect's name.
INSERTS: Mapping[str, Callable[..., Any]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}

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
    engine = _engine(parsed)
    try:
        if _is_sqlite(parsed):
            log_writes_ahead(engine)
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


def sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite URL, links and relative paths seen through, else None."""
    parsed = parse_url(url)
    return Path(parsed.database or "").resolve() if _is_sqlite(parsed) else None


@contextmanager
def read_session(engine: Engine) -> Iterator[Session]:
    """Open a session that only reads: on SQLite it neither waits for writers nor stops them."""
    with Session(engine.execution_options(sqlite_begin="BEGIN DEFERRED")) as session:
        yield session


@contextmanager
def scan_session(engine: Engine) -> Iterator[Session]:
    """Open a session that reads much of a table and keeps little.

    SQLite sees its file through memory that long: measured on 100,000 runs a scan takes a fifth,
    one that reads JSON half. Where much is kept, as by an export, the pages seen would add up.
    """
    if engine.dialect.name != "sqlite":
        with read_session(engine) as session:
            yield session
        return
    # One connection from end to end: a session gives its own back when a transaction ends.
    with engine.connect().execution_options(sqlite_begin="BEGIN DEFERRED") as connection:
        driver = connection.connection.dbapi_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.execute(_MAP_FILE)
        try:
            with Session(connection) as session:
                yield session
        finally:
            connection.rollback()
            driver.execute(_LET_FILE_GO)


@contextmanager
def write_session(engine: Engine) -> Iterator[Session]:
    """Open a session in one transaction, committed at the end unless an error leaves it.

    Raises:
        UnknownFate: The connection broke during the commit: it may have been done or not.
    """
    with Session(engine) as session:
        yield session
        session.flush()
        try:
            session.commit()
        except DBAPIError as error:
            if error.connection_invalidated:
                raise UnknownFate(_UNKNOWN) from error
            raise


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
            set_foreign_keys(connection, on=False)
        try:
            with connection.begin():
                if engine.dialect.name == "postgresql":
                    _be_patient(connection)
                    connection.execute(
                        text("SELECT pg_advisory_xact_lock(:number)"), {"number": MIGRATION_LOCK}
                    )
                yield connection
        finally:
            if engine.dialect.name == "sqlite":
                set_foreign_keys(connection, on=True)


def _be_patient(connection: Connection) -> None:
    """Let statements of this transaction last; the next user of the connection is not so."""
    connection.execute(text(f"SET LOCAL statement_timeout = '{MIGRATION_SECONDS}s'"))
    raw = connection.connection.dbapi_connection
    raw.silence_seconds = MIGRATION_SECONDS  # type: ignore[union-attr]  # a PatientConnection


def _engine(url: URL) -> Engine:
    if _is_sqlite(url):
        return sqlite_engine(url)
    if postgresql_engine is None:
        raise InvalidRequest(
            "PostgreSQL needs the package psycopg, which is not installed. "
            "Run `pip install peftwise[postgres]`.",
            param="database_url",
        )
    return postgresql_engine(url)


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
