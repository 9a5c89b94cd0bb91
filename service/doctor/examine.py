"""Ask all questions and answer with a line each."""

import importlib.metadata
import platform
from collections.abc import Callable

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from metadata.database import read_session
from metadata.errors import PeftwiseError
from service.doctor.promises import PROMISES
from service.doctor.schemas import Finding
from service.jobs.queue import Clock, database_time
from service.jobs.timing import Timing
from service.services import Services
from service.storage.disk import space_of

SHOWN = 3  # ids of what breaks a promise
PACKAGES = ("peftwise", "fastapi", "SQLAlchemy", "lightgbm", "torch", "transformers", "peft")


def examine(services: Services) -> list[Finding]:
    """Return what holds and what does not: promises first, then what the service stands on."""
    try:
        found = promises(services.engine, services.timing)
    except SQLAlchemyError:
        found = [Finding(name="database", is_well=False, detail="it does not answer")]
    return [*found, *(look(services) for look in SURROUNDINGS)]


def promises(engine: Engine, timing: Timing, *, clock: Clock = database_time) -> list[Finding]:
    """Return whether each of the ten promises holds in a database as it is now."""
    found = []
    with read_session(engine) as session:
        now = clock(session)
        for number, (promise, queries) in enumerate(PROMISES.items(), start=1):
            broken: set[str] = set()
            for query in queries(now, timing):
                broken |= set(session.scalars(query))
            shown = ", ".join(sorted(broken)[:SHOWN])
            detail = "" if not broken else f"{len(broken):,} break it: {shown}"
            found.append(Finding(name=f"{number}. {promise}", is_well=not broken, detail=detail))
    return found


def _database(services: Services) -> Finding:
    kind = services.engine.dialect.name
    try:
        return Finding(name="database", is_well=True, detail=_about(services.engine, kind))
    except SQLAlchemyError:
        return Finding(name="database", is_well=False, detail=f"{kind} does not answer")


def _about(engine: Engine, kind: str) -> str:
    with read_session(engine) as session:
        if kind == "sqlite":
            version = session.execute(text("SELECT sqlite_version()")).scalar_one()
            check = session.execute(text("PRAGMA quick_check")).scalar_one()
            return f"SQLite {version}, quick check: {check}"
        version = session.execute(text("SHOW server_version")).scalar_one()
        return f"PostgreSQL {version}"


def _executor(services: Services) -> Finding:
    name = services.settings.executor
    try:
        missing, room = services.dispatcher.look()
    except PeftwiseError as error:
        return Finding(name=f"executor {name}", is_well=False, detail=str(error))
    detail = missing or f"room for {room} more at once"
    return Finding(name=f"executor {name}", is_well=missing is None, detail=detail)


def _disk(services: Services) -> Finding:
    try:
        space = space_of(services.settings)
        space.check()
    except PeftwiseError as error:
        return Finding(name="disk", is_well=False, detail=str(error))
    detail = f"{space.used_bytes / 2**30:.1f} GiB used, {space.free_bytes / 2**30:.1f} GiB free"
    return Finding(name="disk", is_well=True, detail=detail)


def _versions(services: Services) -> Finding:
    del services
    shown = [f"Python {platform.python_version()}", *map(_version, PACKAGES)]
    return Finding(name="versions", is_well=True, detail=", ".join(shown))


def _version(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{package} not installed"


SURROUNDINGS: tuple[Callable[[Services], Finding], ...] = (_database, _executor, _disk, _versions)
