"""Remove what is kept no longer: logs and checkpoints of ended jobs, files that no job needs.

Nothing is removed for its age unless a setting says after how many days; what an upload or a
checkpoint that was cut short left behind goes by itself. Rows go before bytes: a sweep that is
interrupted leaves bytes that nothing names, which the next one finds by their age.
"""

import logging
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, Select, and_, delete, exists, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from metadata.database import read_session, write_session
from service.jobs.shared_folder import CHECKPOINTS
from service.jobs.states import FINAL
from service.settings import Settings
from service.storage.disk import sizes
from service.tables import AttemptRow, CheckpointRow, FileRow, JobRow

log = logging.getLogger(__name__)

QUIET = timedelta(hours=1)  # an attempt that was given up may still write for a while
UPLOAD = timedelta(days=1)  # longer than any upload lasts
_IDS_AT_ONCE = 500
_LOG = re.compile(r"([\w-]+?)(\.reported)?\.log")
_JOB = re.compile(r"ftjob-[0-9a-f]{24}")
_FILE = re.compile(r"file-[0-9a-f]{24}")


@dataclass(frozen=True, kw_only=True)
class Swept:
    """How many of each were removed, and how many bytes that freed."""

    logs: int = 0
    checkpoints: int = 0  # folders, one a job
    files: int = 0
    leftovers: int = 0
    freed_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class _Removal:
    path: Path
    forget: Callable[[], bool] | None = None  # removes its rows first; False: it is needed again


def sweep(engine: Engine, data_dir: Path, *, settings: Settings, now: datetime) -> Swept:
    """Remove what is old enough, and say what that was; what a live job uses stays."""
    freed = 0
    counts: dict[str, int] = {}
    kinds = {
        "logs": _old_logs(engine, data_dir / "logs", _before(now, settings.keep_logs_days)),
        "checkpoints": _old_checkpoints(
            engine, data_dir / CHECKPOINTS, _before(now, settings.keep_checkpoints_days)
        ),
        "files": _old_files(engine, data_dir / "files", _before(now, settings.keep_files_days)),
        "leftovers": _leftovers(engine, data_dir, now),
    }
    for kind, removals in kinds.items():
        removed = [_remove(removal) for removal in removals]
        counts[kind] = sum(size is not None for size in removed)
        freed += sum(size or 0 for size in removed)
    return Swept(**counts, freed_bytes=freed)


def _before(now: datetime, days: float | None) -> datetime | None:
    """Return the moment before which things are old; None keeps them all."""
    return None if days is None else now - max(timedelta(days=days), QUIET)


def _old_logs(engine: Engine, folder: Path, before: datetime | None) -> Iterator[_Removal]:
    if before is None:
        return
    found = {path: name[1] for path in _inside(folder) if (name := _LOG.fullmatch(path.name))}
    ends = _ends_of_attempts(engine, set(found.values()))
    for path, attempt_id in found.items():
        if _is_old(path, ends, attempt_id, before):
            yield _Removal(path=path)


def _old_checkpoints(engine: Engine, folder: Path, before: datetime | None) -> Iterator[_Removal]:
    if before is None:
        return
    found = {path.name: path for path in _inside(folder) if _JOB.fullmatch(path.name)}
    ends = _ends_of_jobs(engine, found)
    for job_id, path in found.items():
        if _is_old(path, ends, job_id, before):
            yield _Removal(path=path, forget=_forget_checkpoints(engine, job_id))


def _old_files(engine: Engine, folder: Path, before: datetime | None) -> Iterator[_Removal]:
    """Yield files that no job needs or needed since, then bytes that nothing names."""
    if before is None:
        return
    query = select(FileRow.id).where(_is_unneeded(before))
    with read_session(engine) as session:
        old = list(session.scalars(query))
    for file_id in old:
        yield _Removal(path=folder / file_id, forget=_forget_file(engine, file_id, before))
    found = {path.name: path for path in _inside(folder) if _FILE.fullmatch(path.name)}
    known = {row.id for row in _rows(engine, select(FileRow.id), FileRow.id, found)}
    for name in found.keys() - known - set(old):
        if _changed_at(found[name]) < before:
            yield _Removal(path=found[name])


def _leftovers(engine: Engine, data_dir: Path, now: datetime) -> Iterator[_Removal]:
    """Yield uploads and checkpoints that were cut short."""
    for path in (data_dir / "files").glob(".incoming-*"):
        if _changed_at(path) < now - UPLOAD:
            yield _Removal(path=path)
    cut = {path: path.parent.name for path in (data_dir / CHECKPOINTS).glob("*/.writing-*")}
    ends = _ends_of_jobs(engine, set(cut.values()))
    for path, job_id in cut.items():
        end = ends.get(job_id)
        if end is not None and end < now - QUIET:
            yield _Removal(path=path)


def _remove(removal: _Removal) -> int | None:
    """Remove rows, then bytes; return how many bytes, or None where it was not to be."""
    if removal.forget is not None and not removal.forget():
        return None
    path = removal.path
    try:
        if path.is_dir() and not path.is_symlink():
            count = sum(sizes(path))
            shutil.rmtree(path)
        else:
            count = path.lstat().st_size
            path.unlink()
    except FileNotFoundError:
        return 0
    except OSError as error:
        log.warning("%s cannot be removed: %s", path.name, error.strerror)
        return None
    return count


def _is_unneeded(before: datetime) -> ColumnElement[bool]:
    """Say in SQL that a file is old, and so is the end of the last job that needed it."""
    needs = or_(JobRow.training_file == FileRow.id, JobRow.validation_file == FileRow.id)
    is_recent = or_(JobRow.state.not_in(FINAL), JobRow.finished_at >= before)
    return and_(FileRow.created_at < before, ~exists().where(needs, is_recent))


def _forget_file(engine: Engine, file_id: str, before: datetime) -> Callable[[], bool]:
    def forget() -> bool:
        with write_session(engine) as session:
            this = delete(FileRow).where(FileRow.id == file_id, _is_unneeded(before))
            return session.scalar(this.returning(FileRow.id)) is not None

    return forget


def _forget_checkpoints(engine: Engine, job_id: str) -> Callable[[], bool]:
    def forget() -> bool:
        with write_session(engine) as session:
            session.execute(delete(CheckpointRow).where(CheckpointRow.job_id == job_id))
        return True  # a job that has ended never trains again

    return forget


def _ends_of_jobs(engine: Engine, ids: Iterable[str]) -> Mapping[str, datetime | None]:
    """Return when jobs ended, None where they have not; those that are unknown are left out."""
    query = select(JobRow.id, JobRow.state, JobRow.finished_at)
    rows = _rows(engine, query, JobRow.id, ids)
    return {row.id: row.finished_at if row.state in FINAL else None for row in rows}


def _ends_of_attempts(engine: Engine, ids: Iterable[str]) -> Mapping[str, datetime | None]:
    """Return when the jobs of attempts ended, None where job or attempt have not."""
    columns = AttemptRow.id, AttemptRow.ended_at, JobRow.state, JobRow.finished_at
    rows = _rows(engine, select(*columns).join(JobRow), AttemptRow.id, ids)
    return {
        row.id: row.finished_at if row.state in FINAL and row.ended_at is not None else None
        for row in rows
    }


def _rows(
    engine: Engine,
    query: Select[*tuple[Any, ...]],
    column: InstrumentedAttribute[str],
    ids: Iterable[str],
) -> Iterator[Row[*tuple[Any, ...]]]:
    """Yield the rows of some ids, a bounded number of them a statement."""
    ordered = sorted(ids)
    with read_session(engine) as session:
        for start in range(0, len(ordered), _IDS_AT_ONCE):
            some = ordered[start : start + _IDS_AT_ONCE]
            yield from session.execute(query.where(column.in_(some)))


def _is_old(path: Path, ends: Mapping[str, datetime | None], owner: str, before: datetime) -> bool:
    """Say whether the owner of a path ended long ago; of one unknown, whether it changed then."""
    end = ends[owner] if owner in ends else _changed_at(path)
    return end is not None and end < before


def _changed_at(path: Path) -> datetime:
    try:
        return datetime.fromtimestamp(path.lstat().st_mtime, UTC)
    except FileNotFoundError:  # another was quicker
        return datetime.max.replace(tzinfo=UTC)


def _inside(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
