import importlib
import importlib.util
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import IntegrityError

from metadata.database import (
    Base,
    migrate,
    migrations,
    open_database,
    parse_url,
    read_session,
    scan_session,
    write_session,
)
from metadata.errors import Conflict, InvalidRequest, Unavailable
from metadata.history import History
from metadata.records import Objective, Run
from metadata.run_rows import CurveChunk

OPEN_IN_ANOTHER_PROCESS = (
    "import sys; from metadata.database import open_database as o; o(sys.argv[1])"
)


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    engine = open_database(url)
    try:
        yield engine
    finally:
        engine.dispose()


def load_all_tables() -> None:
    if importlib.util.find_spec("service.tables") is not None:
        importlib.import_module("service.tables")


def table_names(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names())


def test_migrated_schema_is_the_one_the_code_declares(database_url: str) -> None:
    load_all_tables()

    with opened(database_url) as engine, engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, Base.metadata)

    assert differences == []


def test_every_step_can_be_taken_back_and_again(database_url: str) -> None:
    with opened(database_url) as engine:
        newest = table_names(engine)
        with engine.begin() as connection:
            command.downgrade(migrations(connection), "base")
        emptied = table_names(engine)
        migrate(engine)

        assert {"runs", "curves"} <= newest
        assert emptied == {"alembic_version"}
        assert table_names(engine) == newest


def test_jobs_of_before_serve_as_their_method_leaves_them(database_url: str) -> None:
    load_all_tables()
    job = {
        "id": "ftjob-1",
        **dict.fromkeys(("state", "base_model", "chosen_by", "training_file", "reason"), "x"),
        **dict.fromkeys(("model", "dataset", "configuration", "labels"), "{}"),
        **dict.fromkeys(("progress", "trained_tokens", "generation", "last_event"), 0),
        "created_at": "2026-01-01 00:00:00+00:00",
    }
    insert = f"INSERT INTO jobs ({', '.join(job)}) VALUES ({', '.join(f':{k}' for k in job)})"
    with opened(database_url) as engine:
        with engine.begin() as connection:
            command.downgrade(migrations(connection), "0002")
            connection.execute(text(insert), job)
        migrate(engine)

        with engine.connect() as connection:
            found = connection.execute(text("SELECT id, serve_with FROM jobs")).all()

    assert found == [("ftjob-1", None)]


def test_processes_that_open_at_the_same_time_all_succeed(database_url: str) -> None:
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_IN_ANOTHER_PROCESS, database_url],
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]

    errors = [opener.communicate(timeout=60)[1] for opener in openers]

    assert [opener.returncode for opener in openers] == [0] * 4, errors


def test_opening_again_keeps_what_was_there(database_url: str, make_run: Any) -> None:
    with opened(database_url) as engine:
        History(engine).add(make_run())

    with opened(database_url) as engine:
        assert History(engine).get("run-00000") == make_run()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's list of maps")
def test_a_scan_sees_the_file_through_memory_and_lets_it_go(sqlite_url: str, make_run: Any) -> None:
    file = parse_url(sqlite_url).database or ""

    def maps() -> int:
        lines = Path("/proc/self/maps").read_text().splitlines()
        return sum(line.endswith(file) for line in lines)

    def scan(_: int) -> int:
        with scan_session(engine) as session:
            found = session.scalars(text("SELECT reason FROM runs")).all()
            seen.append(maps())
            return len(found)

    seen: list[int] = []
    with opened(sqlite_url) as engine:  # whose end moves its log into the file
        History(engine).add_many(make_run(number) for number in range(50))
    with opened(sqlite_url) as engine:
        with ThreadPoolExecutor(4) as pool:  # a connection of its own each
            found = list(pool.map(scan, range(12)))

        assert set(found) == {50}
        assert max(seen) > 0
        assert maps() == 0


def test_moments_come_back_as_the_same_moment_in_utc(database_url: str, make_run: Any) -> None:
    local = datetime(2026, 3, 1, 1, 30, 0, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30)))

    with opened(database_url) as engine:
        History(engine).add(make_run(created_at=local))
        found = History(engine).get("run-00000").created_at

    assert found == local
    assert found.tzinfo is UTC


def test_a_write_that_fails_leaves_nothing(database_url: str) -> None:
    with opened(database_url) as engine:
        with pytest.raises(IntegrityError), write_session(engine) as session:
            session.add(CurveChunk(run_id="unknown", chunk=0, points=[]))

        with read_session(engine) as session:
            assert session.query(CurveChunk).count() == 0


def test_sqlite_is_set_for_safety(sqlite_url: str) -> None:
    with opened(sqlite_url) as engine, engine.connect() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        }

    assert settings == {
        "journal_mode": "wal",
        "foreign_keys": 1,
        "synchronous": 2,  # FULL
        "busy_timeout": 30_000,
    }


def test_readers_of_sqlite_do_not_wait_for_a_writer(sqlite_url: str, make_run: Any) -> None:
    with opened(sqlite_url) as engine:
        history = History(engine)
        history.add(make_run())
        with write_session(engine) as session:
            session.add(CurveChunk(run_id="run-00000", chunk=9, points=[]))
            session.flush()
            counted: list[int] = []
            reader = threading.Thread(target=lambda: counted.append(history.count()))
            reader.start()
            reader.join(timeout=5)

            assert counted == [1]


def test_writers_of_sqlite_take_turns(sqlite_url: str, make_run: Any) -> None:
    with opened(sqlite_url) as engine:
        history = History(engine)
        with write_session(engine) as session:
            session.execute(text("SELECT 1"))  # the lock is taken before the first write
            writer = threading.Thread(target=lambda: history.add(make_run()))
            writer.start()
            writer.join(timeout=0.3)
            still_waits = writer.is_alive()
        writer.join(timeout=10)

        assert still_waits
        assert history.count() == 1


def test_folders_of_a_sqlite_file_are_made(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/new/100% new/runs.sqlite"):
        assert (tmp_path / "new" / "100% new" / "runs.sqlite").exists()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(InvalidRequest, match="cannot be made"):
        open_database(f"sqlite:///{tmp_path}/file/runs.sqlite")


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database " * 100)

    with pytest.raises(Unavailable, match="file is not a database"):
        open_database(f"sqlite:///{tmp_path}/notes.txt")


def test_a_database_of_a_newer_version_is_refused(database_url: str) -> None:
    with opened(database_url) as engine, engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(Conflict, match="Upgrade peftwise"):
        open_database(database_url)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://user:hunter2@host/name",
        "user:hunter2@host",
        "postgresql://user@host:hunter2/name",
        "sqlite://",
        "sqlite:///:memory:",
        "",
    ],
)
def test_other_urls_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(InvalidRequest, match="sqlite:///FILE or postgresql://") as caught:
        parse_url(url)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_postgresql_gets_our_driver(scheme: str) -> None:
    assert parse_url(f"{scheme}://user@host/name").drivername == "postgresql+psycopg"


def test_a_wrong_password_is_never_shown(postgres_url: str) -> None:
    wrong = postgres_url.replace("only-for-tests", "hunter2")

    with pytest.raises(Unavailable, match="password authentication failed") as caught:
        open_database(wrong)

    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_server_that_is_away_is_reported_soon(postgres_server: Any) -> None:
    url = postgres_server.url("name").replace(str(postgres_server.port), "1")

    with pytest.raises(Unavailable, match="cannot be opened") as caught:
        open_database(url)

    assert "only-for-tests" not in str(caught.value)


def test_a_connection_that_broke_is_replaced(postgres_server: Any, postgres_url: str) -> None:
    with opened(postgres_url) as engine:
        name = engine.url.database
        postgres_server.sql(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )

        assert History(engine).count() == 0


def test_the_servers_time_zone_changes_nothing(
    postgres_server: Any, postgres_url: str, make_run: Any
) -> None:
    name = postgres_url.rpartition("/")[2]
    postgres_server.sql(f"ALTER DATABASE {name} SET timezone TO 'Pacific/Kiritimati'")
    last_moment = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # 14 h later no year holds it

    with opened(postgres_url) as engine:
        History(engine).add(make_run(created_at=last_moment))

        assert History(engine).get("run-00000").created_at == last_moment


def test_rebuilding_a_table_of_sqlite_keeps_the_rows_that_point_to_it(
    sqlite_url: str, make_run: Any
) -> None:
    from metadata.database import _migrating

    with opened(sqlite_url) as engine:
        History(engine).add(make_run())
        with _migrating(engine) as connection:
            connection.exec_driver_sql("CREATE TABLE moved AS SELECT * FROM runs")
            connection.exec_driver_sql("DROP TABLE runs")
        with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as raw:
            assert raw.execute("SELECT count(*) FROM curves").fetchone() == (1,)
        raw.close()


def test_runs_and_jobs_of_before_are_supervised_and_dpo_goes_with_the_step(
    database_url: str, make_run: Callable[..., Run]
) -> None:
    before, dpo = make_run(0), make_run(1, objective=Objective(name="dpo", beta=0.2))
    with opened(database_url) as engine:
        History(engine).add_many([before, dpo])
        with engine.begin() as connection:
            command.downgrade(migrations(connection), "0005")
        migrate(engine)

        assert [run.objective for run in History(engine).stream()] == [before.objective]
        assert History(engine).add(dpo)
        assert History(engine).get(dpo.id) == dpo
