"""Real servers in processes of their own, on one SQLite file."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.settings import Settings

ROOT = Path(__file__).parents[2]


def command(*arguments: str, database: Path | None = None) -> "subprocess.Popen[str]":
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PEFTWISE_")}
    environment |= {"PYTHONPATH": str(ROOT), "COLUMNS": "300"}
    if database is not None:
        environment["PEFTWISE_DATABASE_URL"] = f"sqlite:///{database}"
    return subprocess.Popen(
        [sys.executable, "-m", "service", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def running_server(data_dir: Path) -> Iterator["subprocess.Popen[str]"]:
    server = command("serve", "--port", "0", "--data-dir", str(data_dir))
    assert server.stdout is not None
    assert "answers at" in server.stdout.readline()
    try:
        yield server
    finally:
        server.kill()
        server.communicate()


def test_a_second_server_refuses_and_commands_that_read_do_not(
    settings: Settings, tmp_path: Path
) -> None:
    link = tmp_path / "link.sqlite"
    link.symlink_to(settings.data_dir / "peftwise.sqlite")
    elsewhere = ("--data-dir", str(tmp_path / "elsewhere"))

    with running_server(settings.data_dir) as first:
        second = command("serve", "--port", "0", *elsewhere, database=link)
        _, refusal = second.communicate(timeout=120)
        reader = command("runs", "list", "--limit", "1", "--json", *elsewhere, database=link)
        listed, problem = reader.communicate(timeout=120)

    assert second.returncode == 1
    assert f"Another server runs on this SQLite database (process {first.pid})" in refusal
    assert "--database-url" in refusal
    assert "Traceback" not in refusal
    assert reader.returncode == 0, problem
    assert '"id"' in listed
    with running_server(settings.data_dir):  # the first one was killed and holds nothing
        pass
