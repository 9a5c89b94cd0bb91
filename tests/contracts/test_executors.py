"""What every executor promises, each tried with real processes: our own, and those of a real Ray.

A small program stands in the worker's place. It is started as the worker is and reads its claim
code in the same way.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from service.executors import EXECUTORS
from service.executors.spec import Executor, Status
from service.settings import Settings

POLL_SECONDS = 0.05
CODE = "one-use-code-that-nobody-may-see"
PRELUDE = """\
import argparse, json, os, pathlib, signal, subprocess, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("command", choices=["attempt"])
parser.add_argument("--server", required=True)
parser.add_argument("--output-dir", required=True)
parser.add_argument("--code-file", type=pathlib.Path)
parser.add_argument("--devices", type=int, default=1)
options = parser.parse_args()
if options.code_file:
    assert options.code_file.stat().st_mode & 0o077 == 0
    code = options.code_file.read_text()
    options.code_file.unlink()
else:
    code = sys.stdin.readline().strip()
here = pathlib.Path({here!r})
"""
SLEEPS = "print('under way', flush=True)\n(here / 'ready').touch()\ntime.sleep(60)\n"
Make = Callable[..., Executor]


@pytest.fixture(params=sorted(EXECUTORS))
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def make(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Return a maker of executors whose attempts run a script; what they started is ended."""
    changes: dict[str, Any] = {"data_dir": tmp_path / "data", "executor": kind, "stop_seconds": 10}
    if kind == "ray":
        cluster = request.getfixturevalue("ray_cluster")
        changes |= {"ray_address": cluster.address, "ray_token": cluster.token}
    made: list[Executor] = []

    def make_one(script: str, **more: Any) -> Executor:
        python = stand_in(tmp_path, script)
        made.append(EXECUTORS[kind](Settings(**(changes | more), worker_python=python)))
        return made[-1]

    yield make_one
    for executor in made:
        for attempt_id, found in executor.status().items():
            if found.is_running:
                executor.cancel(attempt_id)
                wait_for_end(executor, attempt_id)
        executor.close()


@pytest.fixture
def attempt_id(request: pytest.FixtureRequest) -> str:
    """Return an id of the test's own: one Ray serves all of them."""
    return f"attempt-{abs(hash(request.node.nodeid)):x}"


def stand_in(folder: Path, script: str) -> Path:
    """Return an interpreter whose `training_worker` is a script."""
    package = folder / "stand-in" / "training_worker"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(PRELUDE.format(here=str(folder)) + script)
    python = folder / "python"
    path = f"PYTHONSAFEPATH=1 PYTHONPATH='{package.parent}'"
    python.write_text(f"#!/bin/sh\n{path} exec '{sys.executable}' \"$@\"\n")
    python.chmod(0o755)
    return python


def wait_for(condition: Callable[[], object], seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(POLL_SECONDS)


def wait_for_end(executor: Executor, attempt_id: str) -> Status:
    found: list[Status] = []

    def has_ended() -> bool:
        found.append(executor.status()[attempt_id])
        return not found[-1].is_running

    wait_for(has_ended)
    return found[-1]


def is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def is_shown_by_a_process(text: str) -> bool:
    """Say whether a text stands in anybody's arguments or environment, without showing those."""
    for process in psutil.process_iter():
        try:
            shown = [*process.cmdline(), *process.environ().values()]
        except psutil.Error:
            continue
        if any(text in word for word in shown):
            return True
    return False


def test_an_attempt_gets_its_claim_code_and_nobody_else_sees_it(
    make: Make, kind: str, attempt_id: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    executor = make("(here / 'told').write_text(code)\n" + SLEEPS)

    executor.submit(attempt_id, CODE)
    wait_for((tmp_path / "ready").exists)

    assert executor.missing() is None
    assert (tmp_path / "told").read_text() == CODE
    assert is_shown_by_a_process(attempt_id)  # the look finds what is there
    assert not is_shown_by_a_process(CODE)
    assert CODE not in executor.logs(attempt_id).decode()
    if kind == "ray":
        cluster = request.getfixturevalue("ray_cluster")
        told = cluster.get(f"/api/jobs/{attempt_id}").text
        assert json.loads(told)["submission_id"] == attempt_id
        assert CODE not in told
        assert CODE not in cluster.get("/api/jobs/").text
        assert not list((cluster.folder / "ray").rglob("claim-code"))


@pytest.mark.parametrize(
    ("script", "how"),
    [
        ("sys.exit(0)", "its process ended with exit code 0"),
        ("sys.exit(7)", "its process ended with exit code 7"),
        ("os.kill(os.getpid(), 9)", "its process was killed by signal 9 (SIGKILL)"),
    ],
)
def test_how_an_attempt_ended_is_told_once(
    make: Make, attempt_id: str, script: str, how: str
) -> None:
    executor = make(script)
    executor.submit(attempt_id, CODE)

    ended = wait_for_end(executor, attempt_id)

    assert ended == Status(is_running=False, how=how)
    assert executor.status() == {}


def test_an_attempt_takes_a_place_while_it_runs(
    make: Make, attempt_id: str, tmp_path: Path
) -> None:
    executor = make(SLEEPS, parallel_runs=2)  # and so many GPUs has the Ray of the tests
    wait_for(lambda: executor.capacity() == 2)  # Ray counts some seconds behind

    executor.submit(attempt_id, CODE)

    assert executor.capacity() == 1
    wait_for((tmp_path / "ready").exists)
    assert executor.status()[attempt_id].is_running
    executor.cancel(attempt_id)
    wait_for_end(executor, attempt_id)
    wait_for(lambda: executor.capacity() == 2)


def test_an_attempt_on_two_devices_takes_both_and_is_told_how_many(
    make: Make, kind: str, attempt_id: str, tmp_path: Path
) -> None:
    executor = make(
        "seen = os.environ.get('CUDA_VISIBLE_DEVICES', '')\n"
        "(here / 'told').write_text(f'{options.devices} {seen}')\n" + SLEEPS,
        parallel_runs=1,
        devices_per_run=2,
    )
    wait_for(lambda: executor.capacity() == 1)  # Ray counts some seconds behind

    executor.submit(attempt_id, CODE, devices=2)

    assert executor.capacity() == 0
    wait_for((tmp_path / "ready").exists)
    count, _, seen = (tmp_path / "told").read_text().partition(" ")
    assert count == "2"
    assert kind != "ray" or len(seen.split(",")) == 2


def test_more_devices_than_there_are_are_told_and_nothing_starts(
    make: Make, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")  # Ray says that it has two, too
    executor = make(SLEEPS, devices_per_run=3)

    missing = executor.missing()

    assert missing is not None
    assert "needs 3 GPUs" in missing
    assert "PEFTWISE_DEVICES_PER_RUN" in missing
    assert kind != "ray" or executor.capacity() == 0


def test_an_attempt_asked_for_twice_is_started_once(
    make: Make, attempt_id: str, tmp_path: Path
) -> None:
    executor = make("with (here / 'starts').open('a') as file: file.write('x')\n" + SLEEPS)

    executor.submit(attempt_id, CODE)
    executor.submit(attempt_id, CODE)
    wait_for((tmp_path / "ready").exists)
    executor.submit(attempt_id, CODE)
    time.sleep(1.0)

    assert (tmp_path / "starts").read_text() == "x"


def test_a_cancelled_attempt_is_asked_first(make: Make, attempt_id: str, tmp_path: Path) -> None:
    executor = make(
        "def stop(*_):\n    time.sleep(0.5)\n    (here / 'asked').touch()\n    sys.exit(3)\n"
        "signal.signal(signal.SIGTERM, stop)\n" + SLEEPS
    )
    executor.submit(attempt_id, CODE)
    wait_for((tmp_path / "ready").exists)

    executor.cancel(attempt_id)
    executor.cancel(attempt_id)
    wait_for_end(executor, attempt_id)

    assert (tmp_path / "asked").exists()


def test_one_that_does_not_listen_is_killed_with_what_left_its_session(
    make: Make, attempt_id: str, tmp_path: Path
) -> None:
    executor = make(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"  # the rank inherits it
        "rank = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
        "(here / 'pids').write_text(f'{os.getpid()} {rank.pid}')\n" + SLEEPS,
        stop_seconds=1,
    )
    executor.submit(attempt_id, CODE)
    wait_for((tmp_path / "ready").exists)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert all(map(is_alive, pids))

    executor.cancel(attempt_id)
    wait_for_end(executor, attempt_id)

    wait_for(lambda: not any(map(is_alive, pids)), seconds=5.0)


def test_cancelling_what_is_not_there_does_nothing(make: Make) -> None:
    executor = make(SLEEPS)

    executor.cancel("attempt-nobody-started")

    assert executor.status() == {}


def test_a_new_server_recovers_what_still_runs_and_nothing_else(
    make: Make, attempt_id: str, tmp_path: Path
) -> None:
    first = make("(here / 'pid').write_text(str(os.getpid()))\n" + SLEEPS)
    first.submit(attempt_id, CODE)
    wait_for((tmp_path / "ready").exists)
    first.close()
    second = make(SLEEPS)

    recovered = second.recover({attempt_id, "attempt-nobody-started"})

    outlives = is_alive(int((tmp_path / "pid").read_text()))
    assert recovered == ({attempt_id} if outlives else set())
    assert set(second.status()) == recovered


def test_the_end_of_a_log_is_read_while_it_runs_and_afterwards(
    make: Make, attempt_id: str, tmp_path: Path
) -> None:
    executor = make("print('x' * 5000, flush=True)\n" + SLEEPS)
    executor.submit(attempt_id, CODE)
    wait_for((tmp_path / "ready").exists)

    while_it_runs = executor.logs(attempt_id, last_bytes=110)
    executor.cancel(attempt_id)
    wait_for_end(executor, attempt_id)

    assert while_it_runs == b"x" * 99 + b"\nunder way\n"
    assert b"x" * 5000 + b"\nunder way\n" in executor.logs(attempt_id)
    assert executor.logs("attempt-nobody-started") == b""
