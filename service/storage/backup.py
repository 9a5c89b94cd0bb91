"""A copy of the SQLite database while a server writes to it: whole, checked, then renamed."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from metadata.database import parse_url, sqlite_file
from metadata.errors import Conflict, InvalidRequest, NotFound, Unavailable
from service.files.uploads import sync_folder
from service.storage.failures import full_disk_told, meaning_of

BUSY_SECONDS = 30  # for the moment in which the copy begins


@dataclass(frozen=True, kw_only=True)
class Backup:
    """A copy that was read whole and found good."""

    file: Path
    size_bytes: int
    tables: int


def back_up(url: str, target: Path, *, force: bool = False) -> Backup:
    """Copy a SQLite database into one file that is as it was at one moment.

    Writers go on meanwhile: the copy is read in one transaction of the write-ahead log.

    Args:
        url: The database.
        target: The new file.
        force: Whether a file of that name may be replaced.

    Raises:
        InvalidRequest: The database is PostgreSQL, or the target cannot be written.
        NotFound: The database is not there.
        Conflict: The target is there already, or is the database itself.
        Unavailable: The database cannot be read, or is damaged.
        NoSpace: The disk of the target is full.
    """
    source = _source(url)
    _check_target(source, target, force=force)
    with full_disk_told(), _unfinished(target) as copy:
        tables = _copy(source, copy)
        _sync(copy)
        _check_target(source, target, force=force)  # it may have come meanwhile
        size_bytes = copy.stat().st_size
        copy.replace(target)
        sync_folder(target.parent)
    return Backup(file=target, size_bytes=size_bytes, tables=tables)


def _source(url: str) -> Path:
    source = sqlite_file(url)
    if source is None:
        raise InvalidRequest(_use_pg_dump(url), param="database_url")
    if not source.is_file():
        raise NotFound(
            f"There is no database {source}. Name its folder with --data-dir, or the database "
            "itself with --database-url."
        )
    return source


def _use_pg_dump(url: str) -> str:
    """Return the command that copies a PostgreSQL database; it asks for the password itself."""
    parsed = parse_url(url)
    options = {"host": parsed.host, "port": parsed.port, "username": parsed.username}
    given = " ".join(f"--{name}={value}" for name, value in options.items() if value)
    command = f"pg_dump --format=custom --file=FILE {given} {parsed.database or ''}"
    return (
        "`peftwise backup` copies SQLite files, got PostgreSQL, whose own tool copies it while it "
        f"runs. Run `{' '.join(command.split())}`; `pg_restore` brings it back."
    )


def _check_target(source: Path, target: Path, *, force: bool) -> None:
    resolved = target.resolve()
    if resolved == source or (resolved.exists() and resolved.samefile(source)):
        raise Conflict(f"{target} is the database itself. Choose another file for its copy.")
    if target.is_dir():
        raise InvalidRequest(f"A copy is a file, got the folder {target}. Name a file in it.")
    if target.exists() and not force:
        raise Conflict(f"{target} is there already. Choose another file, or add --force.")


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """Lend a new file in a folder beside the target, which its owner alone reads.

    At the end the folder is gone with all in it, SQLite's own journal too.
    """
    try:
        folder = TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise InvalidRequest(
            f"No file can be made in {target.parent}: {error.strerror}. Choose a folder that is "
            "there and that you may write to."
        ) from None
    with folder:
        copy = Path(folder.name) / target.name
        copy.touch(mode=0o600)
        yield copy


def _copy(source: Path, copy: Path) -> int:
    """Copy and check, and return how many tables there are."""
    try:
        with (
            closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as read,
            closing(sqlite3.connect(copy)) as written,
        ):
            read.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
            read.backup(written, pages=-1)  # in one go: in steps, each writer would start it anew
            written.execute("PRAGMA journal_mode=DELETE")  # one file, with no log beside it
            _check_whole(written)
            return int(written.execute(_COUNT_TABLES).fetchone()[0])
    except sqlite3.Error as error:
        raise meaning_of(error) or Unavailable(
            f"The database {source.name} cannot be copied: {error}. Nothing was written; run "
            "`peftwise doctor`."
        ) from None


_COUNT_TABLES = "SELECT count(*) FROM sqlite_master WHERE type = 'table'"


def _check_whole(copy: sqlite3.Connection) -> None:
    problem = copy.execute("PRAGMA integrity_check").fetchone()[0]
    if problem != "ok":
        raise sqlite3.DatabaseError(f"it is damaged ({problem})")
    if (orphan := copy.execute("PRAGMA foreign_key_check").fetchone()) is not None:
        raise sqlite3.DatabaseError(f"a row of {orphan[0]} names one of {orphan[2]} that is gone")


def _sync(file: Path) -> None:
    with file.open("rb") as handle:
        os.fsync(handle.fileno())
