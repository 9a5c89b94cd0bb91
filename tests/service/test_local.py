"""The executor is tried with small programs in the worker's place, started the same way."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metadata.errors import Unavailable
from service.executors.local import LocalExecutor, clean_environment
from service.settings import Settings

POLL_SECONDS = 0.02


class Script(LocalExecutor):
    """Runs a script instead of the worker."""

    def __init__(self, settings: Settings, script: str) -> None:
        super().__init__(settings)
        self.script = script

    def _worker(self) -> list[str]:
        return ["-c", self.script]


MakeExecutor = Callable[..., Script]


@pytest.fixture
def run(settings: Settings) -> Iterator[MakeExecutor]:
    """Return a maker of executors, which are closed at the end."""
    made: list[Script] = []

    def make(script: str, **changes: object) -> Script:
        made.append(Script(settings.model_copy(update=changes), script))
        return made[-1]

    yield make
    for executor in made:
        executor.close()


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> object:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(POLL_SECONDS)
    return found


def ended_of(executor: LocalExecutor) -> dict[str, str]:
    return {name: one.how for name, one in executor.status().items() if not one.is_running}


def test_the_code_goes_through_standard_input_alone(run: MakeExecutor, settings: Settings) -> None:
    script = "import os, sys; print(sys.stdin.readline(), sys.orig_argv, dict(os.environ))"
    executor = run(script)

    executor.submit("attempt-1", "the-one-use-code")
    ended = wait_for(lambda: ended_of(executor))

    assert ended == {"attempt-1": "its process ended with exit code 0"}
    told, _, rest = (settings.data_dir / "logs" / "attempt-1.log").read_text().partition("\n")
    assert told == "the-one-use-code"
    assert "the-one-use-code" not in rest


def test_a_killed_process_is_seen_with_its_signal(run: MakeExecutor) -> None:
    executor = run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")

    executor.submit("attempt-1", "code")

    ended = wait_for(lambda: ended_of(executor))

    assert ended == {"attempt-1": "its process was killed by signal 9 (SIGKILL)"}
    assert executor.status() == {}


def test_only_so_many_run_at_once(run: MakeExecutor) -> None:
    executor = run("import time; time.sleep(60)", parallel_runs=2)

    assert executor.capacity() == 2
    executor.submit("attempt-1", "code")
    executor.submit("attempt-2", "code")
    assert executor.capacity() == 0
    assert set(executor.status()) == {"attempt-1", "attempt-2"}


def test_a_stopped_attempt_is_asked_first(run: MakeExecutor, tmp_path: Path) -> None:
    script = (
        "import pathlib, signal, sys, time\n"
        f"here = pathlib.Path({str(tmp_path)!r})\n"
        "def stop(*_):\n    (here / 'asked').touch()\n    sys.exit(3)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "(here / 'ready').touch()\n"
        "time.sleep(60)\n"
    )
    executor = run(script)
    executor.submit("attempt-1", "code")
    wait_for((tmp_path / "ready").exists)

    executor.cancel("attempt-1")

    assert wait_for(lambda: ended_of(executor)) == {
        "attempt-1": "its process ended with exit code 3"
    }
    assert (tmp_path / "asked").exists()


def test_one_that_does_not_listen_is_killed_with_its_children(
    run: MakeExecutor, tmp_path: Path
) -> None:
    script = (
        "import os, pathlib, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"pathlib.Path({str(tmp_path / 'child')!r}).write_text(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    executor = run(script, stop_seconds=0.2)
    executor.submit("attempt-1", "code")
    wait_for(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text())
    child = int((tmp_path / "child").read_text())

    executor.close()

    wait_for(lambda: not _is_alive(child))


def test_what_left_the_session_dies_with_an_attempt_that_crashed(
    run: MakeExecutor, tmp_path: Path
) -> None:
    script = (
        "import os, pathlib, subprocess\n"
        "rank = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
        f"pathlib.Path({str(tmp_path / 'rank')!r}).write_text(str(rank.pid))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    executor = run(script)
    bystander = subprocess.Popen(["sleep", "60"], start_new_session=True)

    executor.submit("attempt-1", "code")
    wait_for(lambda: ended_of(executor))

    wait_for(lambda: not _is_alive(int((tmp_path / "rank").read_text())))
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_each_attempt_sees_a_gpu_of_its_own(
    run: MakeExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 6,7")
    script = (
        "import os, time; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); time.sleep(60)"
    )
    executor = run(script, parallel_runs=4)

    executor.submit("attempt-1", "code", devices=2)
    executor.submit("attempt-2", "code")
    executor.submit("attempt-3", "code")

    for attempt_id, seen in (("attempt-1", b"4,6"), ("attempt-2", b"7"), ("attempt-3", b"4")):
        wait_for(lambda name=attempt_id: executor.logs(name))
        assert executor.logs(attempt_id) == seen + b"\n"
    assert executor.capacity() == 0
    with pytest.raises(Unavailable, match="needs 4 GPUs, this machine has 3"):
        executor.submit("attempt-4", "code", devices=4)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a death")
def test_attempts_die_with_a_server_that_is_killed(tmp_path: Path) -> None:
    server = (
        "import os, pathlib, sys, time\n"
        "from service.executors.local import LocalExecutor\n"
        "from service.settings import Settings\n"
        "class Sleeper(LocalExecutor):\n"
        "    def _worker(self):\n"
        "        return ['-c', 'import time; time.sleep(60)']\n"
        f"here = pathlib.Path({str(tmp_path)!r})\n"
        "executor = Sleeper(Settings(data_dir=here))\n"
        "executor.submit('attempt-1', 'code')\n"
        "(here / 'child').write_text(str(executor._children['attempt-1'].process.pid))\n"
        "time.sleep(60)\n"
    )
    process = os.posix_spawn(sys.executable, [sys.executable, "-c", server], os.environ)
    try:
        wait_for(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text())
        child = int((tmp_path / "child").read_text())
        wait_for(lambda: b"sleep" in Path(f"/proc/{child}/cmdline").read_bytes())
        wait_for(lambda: b"prctl" not in Path(f"/proc/{child}/cmdline").read_bytes())
        assert _is_alive(child)
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)

    wait_for(lambda: not _is_alive(child))


def test_a_worker_inherits_no_secret_of_the_server() -> None:
    given = {
        "PATH": "/bin",
        "HOME": "/home/me",
        "HF_HOME": "/models",
        "CUDA_VISIBLE_DEVICES": "0",
        "PEFTWISE_API_KEY": "secret",
        "PEFTWISE_DATABASE_URL": "postgresql://u:p@db/x",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }

    kept = clean_environment(given)

    assert set(kept) == {"PATH", "HOME", "HF_HOME", "CUDA_VISIBLE_DEVICES"}


def test_an_interpreter_without_torch_is_told_with_the_next_step(
    settings: Settings, tmp_path: Path
) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')  # sees no packages
    bare.chmod(0o755)
    executor = LocalExecutor(settings.model_copy(update={"worker_python": bare}))

    missing = executor.missing()

    assert missing is not None
    assert "torch" in missing
    assert "pip install peftwise[worker]" in missing


def test_an_interpreter_that_is_not_there_is_told(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"worker_python": Path("/nowhere/python")})

    missing = LocalExecutor(nowhere).missing()

    assert missing is not None
    assert "PEFTWISE_WORKER_PYTHON" in missing


def _is_alive(pid: int) -> bool:
    """Say whether a process runs; one that only waits to be read by its parent does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
