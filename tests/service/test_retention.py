import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from metadata.database import open_database, read_session, write_session
from service.files.store import FileStore
from service.jobs.queue import Queue
from service.jobs.states import FINAL, JOB_STATES
from service.settings import Settings
from service.storage.retention import Swept, sweep
from service.tables import AttemptRow, CheckpointRow, FileRow, JobRow

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEEP = {"keep_logs_days": 7, "keep_checkpoints_days": 7, "keep_files_days": 7}
FILE = "file-" + "a" * 24
JobMaker = Callable[..., str]


@pytest.fixture
def keep_all(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
def keep_a_week(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, **KEEP)  # type: ignore[arg-type]


@pytest.fixture
def make_job(engine: Engine, queue: Queue, make_order: Any, tmp_path: Path) -> JobMaker:
    """Return a maker of jobs that ended some days ago, with a log and a checkpoint each."""

    def make(state: str = "succeeded", *, days: float = 10, attempt_ended: bool = True) -> str:
        job_id: str = queue.submit(make_order(training_file=FILE)).id
        end = NOW - timedelta(days=days)
        attempt_id = f"att-{job_id[6:]}"
        finished = end if state in FINAL else None
        with write_session(engine) as session:
            this = JobRow.id == job_id
            session.execute(update(JobRow).where(this).values(state=state, finished_at=finished))
            session.add(attempt(attempt_id, job_id, ended_at=end if attempt_ended else None))
            session.add(checkpoint(job_id, attempt_id))
        for ending in (".log", ".reported.log"):
            put(tmp_path / "logs" / f"{attempt_id}{ending}", days=days)
        put(tmp_path / "checkpoints" / job_id / "00000001-1" / "weights", days=days)
        return job_id

    return make


def attempt(attempt_id: str, job_id: str, *, ended_at: datetime | None) -> AttemptRow:
    return AttemptRow(
        id=attempt_id,
        job_id=job_id,
        generation=1,
        state="running" if ended_at is None else "ended",
        lease_expires_at=NOW,
        is_recorded=False,
        created_at=NOW,
        ended_at=ended_at,
    )


def checkpoint(job_id: str, attempt_id: str) -> CheckpointRow:
    return CheckpointRow(
        job_id=job_id,
        name="00000001-1",
        attempt_id=attempt_id,
        step=1,
        progress=0.5,
        size_bytes=100,
        created_at=NOW,
    )


def put(path: Path, *, days: float, size: int = 100) -> Path:
    """Make a file that changed some days ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    moment = (NOW - timedelta(days=days)).timestamp()
    for one in (path, path.parent):
        os.utime(one, (moment, moment))
    return path


def put_files(engine: Engine, folder: Path, *, days: float, names: Iterable[str] = (FILE,)) -> None:
    moment = NOW - timedelta(days=days)
    with write_session(engine) as session:
        for name in names:
            session.add(file_row(name, created_at=moment))
            put(folder / "files" / name, days=days)


def file_row(name: str, *, created_at: datetime) -> FileRow:
    return FileRow(
        id=name,
        label="train.jsonl",
        purpose="fine-tune",
        size_bytes=100,
        profile={},
        created_at=created_at,
    )


def everything(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() and "sqlite" not in path.name}


def test_without_settings_everything_is_kept_for_ever(
    engine: Engine, make_job: JobMaker, keep_all: Settings, tmp_path: Path
) -> None:
    make_job(days=10_000)
    put_files(engine, tmp_path, days=10_000)
    before = everything(tmp_path)

    assert sweep(engine, tmp_path, settings=keep_all, now=NOW) == Swept()

    assert everything(tmp_path) == before


def test_what_an_old_job_left_is_removed_and_counted(
    engine: Engine, make_job: JobMaker, keep_a_week: Settings, tmp_path: Path
) -> None:
    make_job(days=10)
    young = make_job(days=6)
    put_files(engine, tmp_path, days=20)
    mark = put(tmp_path / "checkpoints" / "mark", days=100)
    adapter = put(tmp_path / "adapters" / "att-1" / "adapter.safetensors", days=100)

    swept = sweep(engine, tmp_path, settings=keep_a_week, now=NOW)

    assert swept == Swept(logs=2, checkpoints=1, files=0, leftovers=0, freed_bytes=300)
    assert everything(tmp_path) == {
        mark,
        adapter,
        tmp_path / "logs" / f"att-{young[6:]}.log",
        tmp_path / "logs" / f"att-{young[6:]}.reported.log",
        tmp_path / "checkpoints" / young / "00000001-1" / "weights",
        tmp_path / "files" / FILE,  # the younger job ended less than a week ago
    }
    with read_session(engine) as session:
        assert list(session.scalars(select(CheckpointRow.job_id))) == [young]


@pytest.mark.parametrize("state", sorted(set(JOB_STATES) - FINAL))
def test_nothing_of_a_live_job_is_removed_however_old(
    engine: Engine, make_job: JobMaker, keep_a_week: Settings, tmp_path: Path, state: str
) -> None:
    job_id = make_job(state, days=1000)
    put_files(engine, tmp_path, days=1000)
    put(tmp_path / "checkpoints" / job_id / ".writing-00000002-1" / "weights", days=1000)
    before = everything(tmp_path)

    assert sweep(engine, tmp_path, settings=keep_a_week, now=NOW) == Swept()

    assert everything(tmp_path) == before


def test_logs_of_an_attempt_that_has_not_ended_stay(
    engine: Engine, make_job: JobMaker, keep_a_week: Settings, tmp_path: Path
) -> None:
    make_job("cancelled", days=10, attempt_ended=False)

    assert sweep(engine, tmp_path, settings=keep_a_week, now=NOW).logs == 0


def test_kept_for_no_day_still_waits_until_an_attempt_is_surely_gone(
    engine: Engine, make_job: JobMaker, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, keep_logs_days=0, keep_checkpoints_days=0)
    make_job("cancelled", days=0.5 / 24)
    make_job("cancelled", days=1.5 / 24)

    swept = sweep(engine, tmp_path, settings=settings, now=NOW)

    assert (swept.logs, swept.checkpoints) == (2, 1)


def test_a_file_goes_when_it_is_old_and_no_job_needed_it_since(
    engine: Engine, make_job: JobMaker, keep_a_week: Settings, tmp_path: Path
) -> None:
    make_job(days=8)
    put_files(engine, tmp_path, days=20)
    put_files(engine, tmp_path, days=6, names=["file-" + "b" * 24])

    swept = sweep(engine, tmp_path, settings=keep_a_week, now=NOW)

    assert swept.files == 1
    page = [path.name for path in (tmp_path / "files").iterdir()]
    assert page == ["file-" + "b" * 24]
    with read_session(engine) as session:
        assert list(session.scalars(select(FileRow.id))) == page


def test_bytes_that_nothing_names_go_by_their_age(
    engine: Engine, keep_a_week: Settings, tmp_path: Path
) -> None:
    """As a sweep leaves them that was interrupted between rows and bytes."""
    for days in (6, 8):
        put(tmp_path / "logs" / f"att-{days}.log", days=days)
        put(tmp_path / "files" / f"file-{days:024d}", days=days)
        put(tmp_path / "checkpoints" / f"ftjob-{days:024d}" / "manifest.json", days=days)
    notes = put(tmp_path / "files" / "notes.txt", days=1000)

    swept = sweep(engine, tmp_path, settings=keep_a_week, now=NOW)

    assert swept == Swept(logs=1, files=1, checkpoints=1, freed_bytes=300)
    assert len(everything(tmp_path)) == 4
    assert notes.exists()


def test_what_was_cut_short_goes_by_itself(
    engine: Engine, make_job: JobMaker, keep_all: Settings, tmp_path: Path
) -> None:
    job_id = make_job("failed", days=1)
    put(tmp_path / "checkpoints" / job_id / ".writing-00000002-1" / "weights", days=1)
    put(tmp_path / "files" / ".incoming-old", days=1.5)
    going_on = put(tmp_path / "files" / ".incoming-new", days=0.5)

    swept = sweep(engine, tmp_path, settings=keep_all, now=NOW)

    assert swept == Swept(leftovers=2, freed_bytes=200)
    assert going_on.exists()
    assert (tmp_path / "checkpoints" / job_id / "00000001-1" / "weights").exists()


def test_a_sweep_again_finds_nothing(
    engine: Engine, make_job: JobMaker, keep_a_week: Settings, tmp_path: Path
) -> None:
    make_job(days=10)
    put_files(engine, tmp_path, days=20)

    first, second = (sweep(engine, tmp_path, settings=keep_a_week, now=NOW) for _ in range(2))

    assert (first.logs, first.checkpoints, first.files) == (2, 1, 1)
    assert second == Swept()


def test_an_empty_folder_is_swept_too(engine: Engine, keep_a_week: Settings) -> None:
    folder = keep_a_week.data_dir / "none"

    assert sweep(engine, folder, settings=keep_a_week, now=NOW) == Swept()


SWEEP = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from metadata.database import open_database
from service.settings import Settings
from service.storage.retention import sweep
settings = Settings(data_dir=Path(sys.argv[1]), keep_files_days=7, keep_logs_days=7)
engine = open_database(settings.database)
print("ready", flush=True)
sweep(engine, settings.data_dir, settings=settings, now=datetime(2026, 3, 1, tzinfo=UTC))
"""


def test_a_sweep_that_is_killed_leaves_no_file_without_its_bytes_and_is_made_good(
    tmp_path: Path,
) -> None:
    settings = Settings(data_dir=tmp_path, keep_files_days=7)
    engine = open_database(settings.database)
    put_files(engine, tmp_path, days=20, names=[f"file-{number:024d}" for number in range(300)])
    store = FileStore(engine, tmp_path / "files")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    sweeper = subprocess.Popen(
        [sys.executable, "-c", SWEEP, str(tmp_path)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert sweeper.stdout is not None
    assert sweeper.stdout.readline() == "ready\n"
    deadline = time.monotonic() + 30
    while len(list(store.folder.iterdir())) > 290 and time.monotonic() < deadline:
        time.sleep(0.001)
    sweeper.kill()
    sweeper.communicate()

    with read_session(engine) as session:
        named = set(session.scalars(select(FileRow.id)))
    there = {path.name for path in store.folder.iterdir()}
    assert 0 < len(named) < 300, "it was to be killed in the middle"
    assert named <= there
    swept = sweep(engine, tmp_path, settings=settings, now=NOW)
    assert swept.files == len(there)
    assert list(store.folder.iterdir()) == []
    engine.dispose()
