"""A real server in a process of its own, with a data folder of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

START_SECONDS = 180
STOP_SECONDS = 60


@pytest.fixture
def service(tmp_path: Path) -> Iterator[httpx.Client]:
    """Start `peftwise serve` on a free port, and stop it as Ctrl-C does."""
    with serving(tmp_path) as client:
        yield client


@pytest.fixture(scope="module")
def shared_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Start one for all tests of a file."""
    with serving(tmp_path_factory.mktemp("service")) as client:
        yield client


@contextmanager
def serving(tmp_path: Path) -> Iterator[httpx.Client]:
    folder = tmp_path / "data"
    command = [sys.executable, "-m", "service", "serve", "--port", "0", "--data-dir", str(folder)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PEFTWISE_")}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            url = wait_for(process, folder / "server.json", tmp_path / "log")
            with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
                yield client
            process.send_signal(signal.SIGINT)
            process.wait(STOP_SECONDS)
        finally:
            process.kill()
            process.wait()
    assert not (folder / "server.json").exists()


def wait_for(process: "subprocess.Popen[bytes]", note: Path, log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if note.is_file():
            url = str(json.loads(note.read_text())["url"])
            try:
                if httpx.get(f"{url}/livez", trust_env=False).status_code == 200:
                    return url
            except httpx.HTTPError:
                pass
        time.sleep(0.1)
    raise AssertionError(f"the server does not start: {log.read_text()[-3000:]}")
