import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from metadata.database import open_database
from metadata.errors import Conflict, InvalidRequest, NoSpace, NotFound, Unavailable
from service.storage.backup import back_up

# Each transaction moves an amount between two rows and notes it: at no moment is the sum another.
WRITE = """
import sys
from sqlalchemy import text
from metadata.database import open_database, write_session
engine = open_database(sys.argv[1])
number = 0
while True:
    number += 1
    with write_session(engine) as session:
        session.execute(text("UPDATE accounts SET amount = amount - 1 WHERE name = 'a'"))
        session.execute(text("INSERT INTO moves VALUES (:n, :filling)"),
                        {"n": number, "filling": "x" * 5000})
        session.execute(text("UPDATE accounts SET amount = amount + 1 WHERE name = 'b'"))
    print(number, flush=True)
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return a database with two accounts and 20 MB of other rows."""
    file = tmp_path / "data" / "peftwise.sqlite"
    open_database(f"sqlite:///{file}").dispose()
    with closing(sqlite3.connect(file)) as made, made:
        made.execute("CREATE TABLE accounts (name TEXT, amount INTEGER)")
        made.execute("CREATE TABLE moves (n INTEGER, filling TEXT)")
        made.execute("INSERT INTO accounts VALUES ('a', 0), ('b', 0)")
        made.execute("CREATE TABLE ballast (filling TEXT)")
        made.executemany("INSERT INTO ballast VALUES (?)", [("y" * 20_000,)] * 1000)
    return file


@contextmanager
def writing(file: Path) -> Iterator["subprocess.Popen[str]"]:
    """Let another process write to a database all the time."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITE, f"sqlite:///{file}"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline()
    try:
        yield writer
    finally:
        writer.kill()
        writer.communicate()


def moves(file: Path) -> int:
    with closing(sqlite3.connect(file)) as opened:
        return int(opened.execute("SELECT count(*) FROM moves").fetchone()[0])


def test_a_copy_is_whole_while_another_process_writes(database: Path, tmp_path: Path) -> None:
    copies = [tmp_path / f"copy-{number}.sqlite" for number in range(5)]
    with writing(database) as writer:
        counts = []
        for copy in copies:
            before = moves(database)
            back_up(f"sqlite:///{database}", copy)
            counts.append((before, moves(copy), moves(database)))
        assert writer.poll() is None

    assert all(before <= copied <= after for before, copied, after in counts), counts
    assert counts[-1][2] > counts[0][0], "nothing was written meanwhile"
    for copy, (_, copied, _) in zip(copies, counts, strict=True):
        with closing(sqlite3.connect(copy)) as opened:
            assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            amounts = dict(opened.execute("SELECT name, amount FROM accounts"))
        assert amounts == {"a": -copied, "b": copied}
    assert sorted(tmp_path.glob("*copy*")) == copies  # no log, no leftover beside them
    open_database(f"sqlite:///{copies[-1]}").dispose()


def test_what_is_only_in_the_log_is_copied_too(database: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(database)) as server:
        server.execute("PRAGMA wal_autocheckpoint=0")
        with server:
            server.execute("INSERT INTO moves VALUES (1, 'x')")
        shutil.copy(database, tmp_path / "naive.sqlite")

        back_up(f"sqlite:///{database}", tmp_path / "copy.sqlite")

        assert (moves(tmp_path / "naive.sqlite"), moves(tmp_path / "copy.sqlite")) == (0, 1)


def test_a_file_that_is_there_is_replaced_only_by_force(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.sqlite"
    target.write_text("precious")

    with pytest.raises(Conflict, match="add --force"):
        back_up(f"sqlite:///{database}", target)
    assert target.read_text() == "precious"

    back_up(f"sqlite:///{database}", target, force=True)
    assert moves(target) == 0
    assert target.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["itself", "symlink", "hard link"])
def test_the_database_itself_is_never_replaced(database: Path, tmp_path: Path, kind: str) -> None:
    target = database if kind == "itself" else tmp_path / "link"
    if kind == "symlink":
        target.symlink_to(database)
    elif kind == "hard link":
        target.hardlink_to(database)

    with pytest.raises(Conflict, match="the database itself"):
        back_up(f"sqlite:///{database}", target, force=True)


def test_a_copy_that_fails_leaves_nothing_and_the_old_one(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "copies" / "copy.sqlite"
    target.parent.mkdir()
    target.write_text("the old one")
    content = bytearray(database.read_bytes())
    content[4096 * 3 : 4096 * 40] = os.urandom(4096 * 37)
    database.write_bytes(content)

    with pytest.raises(Unavailable, match="cannot be copied"):
        back_up(f"sqlite:///{database}", target, force=True)

    assert [path.read_text() for path in target.parent.iterdir()] == ["the old one"]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no database"):
        back_up(f"sqlite:///{tmp_path}/none.sqlite", tmp_path / "copy.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_said(database: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="No file can be made in"):
        back_up(f"sqlite:///{database}", tmp_path / "none" / "copy.sqlite")
    with pytest.raises(InvalidRequest, match="got the folder"):
        back_up(f"sqlite:///{database}", tmp_path)


def test_a_full_disk_is_said_and_left_as_it_was(database: Path, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("no file system may be mounted here")
    try:
        with pytest.raises(NoSpace, match="disk is full"):
            back_up(f"sqlite:///{database}", folder / "copy.sqlite")
        assert list(folder.iterdir()) == []
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_for_postgresql_the_command_to_use_is_said_without_the_password(tmp_path: Path) -> None:
    url = "postgresql://me:hunter2@db.lan:5433/peftwise?password=hunter2"

    with pytest.raises(InvalidRequest, match="pg_dump --format=custom --file=FILE") as caught:
        back_up(url, tmp_path / "copy")

    assert "--host=db.lan --port=5433 --username=me peftwise" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_command_says_what_it_made(run: Any, tmp_path: Path) -> None:
    target = tmp_path / "copy.sqlite"

    made = run("backup", str(target), "--json")
    again = run("backup", str(target))

    assert made.code == 0
    assert json.loads(made.out)["size_bytes"] == target.stat().st_size
    assert (again.code, again.out) == (1, "")
    assert "add --force" in " ".join(again.err.split())
    open_database(f"sqlite:///{target}").dispose()
