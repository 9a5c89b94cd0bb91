"""A SQLite file that is locked, or that cannot grow."""

import sqlite3
import subprocess
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from metadata.database import open_database, read_session, write_session
from metadata.errors import NoSpace
from service.jobs.queue import Queue
from service.settings import Settings
from service.storage.failures import meaning_of


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of its own with 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ("-t", "tmpfs", "-o", "size=2m", "tmpfs")
    mounted = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no file system may be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(engine: Engine, committed: list[int]) -> None:
    """Write until there is no more place, noting what was committed."""
    for number in range(1000):
        with write_session(engine) as session:
            row = {"n": number, "filling": "x" * 20_000}
            session.execute(text("INSERT INTO notes VALUES (:n, :filling)"), row)
        committed.append(number)


def test_a_database_that_others_hold_for_too_long_answers_503(
    make_client: Any, make_order: Any, settings: Settings
) -> None:
    file = settings.data_dir / "peftwise.sqlite"
    client: TestClient = make_client(database_url=f"sqlite:///{file}?timeout=0.2")
    job = client.app.state.services.queue.submit(make_order())  # type: ignore[attr-defined]
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        answer = client.post(f"/v1/fine_tuning/jobs/{job.id}/cancel")
        read = client.get(f"/v1/fine_tuning/jobs/{job.id}")

        other.execute("ROLLBACK")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "Another program has held the database" in answer.json()["error"]["message"]
    assert read.json()["status"] == "queued"
    assert client.post(f"/v1/fine_tuning/jobs/{job.id}/cancel").status_code == 200


def test_a_database_that_cannot_grow_answers_507_and_keeps_what_it_has(
    client: TestClient, make_order: Any, jsonl: bytes
) -> None:
    services = client.app.state.services  # type: ignore[attr-defined]
    queue: Queue = services.queue
    kept = queue.submit(make_order())
    with services.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    full = {"labels": {"filling": "x" * 100_000}}  # more than the pages that are there have left

    with pytest.raises(OperationalError, match="full") as caught:
        deque((queue.submit(make_order(**full)) for _ in range(100)), maxlen=0)

    assert isinstance(meaning_of(caught.value), NoSpace)
    files = {"file": ("train.jsonl", jsonl)}
    answers = [
        client.post("/v1/files", data={"purpose": "fine-tune"}, files=files) for _ in range(100)
    ]
    refused = next(answer for answer in answers if answer.status_code != 200)
    assert refused.status_code == 507
    assert "disk is full" in refused.json()["error"]["message"]
    accepted = {answer.json()["id"] for answer in answers if answer.status_code == 200}
    assert {path.name for path in services.files.folder.iterdir()} == accepted
    assert queue.get(kept.id).id == kept.id


def test_a_full_disk_loses_nothing_that_was_committed(small_disk: Path) -> None:
    engine = open_database(f"sqlite:///{small_disk}/runs.sqlite")
    with write_session(engine) as session:
        session.execute(text("CREATE TABLE notes (n INTEGER, filling TEXT)"))
    committed: list[int] = []
    with pytest.raises(OperationalError) as caught:
        fill(engine, committed)

    assert isinstance(meaning_of(caught.value), NoSpace), caught.value.orig
    with read_session(engine) as session:
        assert session.execute(text("SELECT count(*) FROM notes")).scalar() == len(committed) > 0
        assert session.execute(text("PRAGMA integrity_check")).scalar() == "ok"
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    with write_session(engine) as session:
        session.execute(text("INSERT INTO notes VALUES (-1, '')"))
    engine.dispose()
