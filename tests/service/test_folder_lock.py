import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from metadata.database import open_database
from metadata.errors import Conflict, InvalidRequest
from service.folder_lock import check_server, hold_database, hold_folder, hold_server
from service.settings import Settings

HOLD = """
import sys, time
from service.folder_lock import hold_database
with hold_database(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def another_server(url: str, *, folder: Path) -> Iterator["subprocess.Popen[str]"]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, url],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    try:
        yield holder
    finally:
        holder.kill()
        holder.communicate()


def test_a_second_server_on_a_sqlite_file_refuses_and_says_who_has_it(sqlite_url: str) -> None:
    with hold_database(sqlite_url), pytest.raises(Conflict, match=f"process {os.getpid()}"):  # noqa: SIM117
        with hold_database(sqlite_url):
            pass


def test_a_relative_path_and_a_link_are_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "runs.sqlite").touch()
    (tmp_path / "link.sqlite").symlink_to("real/runs.sqlite")
    (tmp_path / "folder").symlink_to("real")

    with another_server("sqlite:///real/runs.sqlite", folder=tmp_path):
        for name in ("real/runs.sqlite", "link.sqlite", "folder/../real/runs.sqlite"):
            with (
                pytest.raises(Conflict, match="runs on this SQLite database"),
                hold_database(f"sqlite:///{tmp_path / name}"),
            ):
                pass


def test_another_data_folder_does_not_make_it_another_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.sqlite"
    first, second = (
        Settings(data_dir=tmp_path / name, database_url=url, executor="local") for name in "ab"
    )

    with hold_server(first), pytest.raises(Conflict, match="--database-url"):
        check_server(second)
    check_server(second)


def test_a_server_that_is_killed_leaves_the_file_free(tmp_path: Path, sqlite_url: str) -> None:
    with another_server(sqlite_url, folder=tmp_path) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()

        with hold_database(sqlite_url):
            pass


def test_what_a_server_starts_does_not_hold_its_locks(tmp_path: Path, sqlite_url: str) -> None:
    with hold_database(sqlite_url), hold_folder(tmp_path):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with hold_database(sqlite_url), hold_folder(tmp_path):
            assert child.poll() is None
    finally:
        child.communicate(b"\n")


def test_whoever_only_reads_needs_no_lock(sqlite_url: str) -> None:
    with hold_database(sqlite_url):
        open_database(sqlite_url).dispose()


def test_servers_on_postgresql_do_not_refuse_each_other() -> None:
    url = "postgresql://user@127.0.0.1/name"

    with hold_database(url), hold_database(url):
        pass


def test_a_place_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with (
        pytest.raises(InvalidRequest, match="Choose a folder that you may write to"),
        hold_database(f"sqlite:///{tmp_path}/file/runs.sqlite"),
    ):
        pass
