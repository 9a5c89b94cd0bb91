"""Ray where it is not as one wishes: killed, started anew, without GPUs, not Ray at all."""

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from metadata.errors import InvalidRequest, Unavailable
from service.executors.ray import RayExecutor
from service.settings import Settings

SLEEPS = "#!/bin/sh\necho $OMP_NUM_THREADS $*\nexec sleep 60\n"
MakeExecutor = Callable[..., RayExecutor]


@pytest.fixture(scope="module")
def cpu_cluster(ray_clusters: ModuleType) -> Iterator[Any]:
    """Start a Ray without GPUs that tests may kill, if they start it again."""
    cluster = ray_clusters.RayCluster(gpus=0)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def make(cpu_cluster: Any, tmp_path: Path) -> MakeExecutor:
    """Return a maker of executors whose attempts tell how they were started, and sleep."""
    python = tmp_path / "python"
    python.write_text(SLEEPS)
    python.chmod(0o755)

    def make_one(**changes: Any) -> RayExecutor:
        usual = {"ray_address": cpu_cluster.address, "ray_token": cpu_cluster.token}
        usual |= {"data_dir": tmp_path, "ray_python": python, "stop_seconds": 1}
        return RayExecutor(Settings(**(usual | changes)))

    return make_one


def wait_for(condition: Callable[[], object], seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def end(executor: RayExecutor, attempt_id: str) -> None:
    executor.cancel(attempt_id)
    wait_for(lambda: not executor.status()[attempt_id].is_running)


def test_without_gpus_attempts_share_the_processors(make: MakeExecutor) -> None:
    executor = make(parallel_runs=1, ray_server_url="http://head:8000", ray_output_dir="/shared")
    assert executor.capacity() == 1

    executor.submit("attempt-cpu", "code")

    # With two threads, for Ray counts them by the processors that were asked for.
    told = (
        b"\n2 -m training_worker attempt --server http://head:8000 --output-dir /shared "
        b"--code-file claim-code\n"
    )
    wait_for(lambda: told in executor.logs("attempt-cpu"))
    assert executor.capacity() == 0
    end(executor, "attempt-cpu")
    assert executor.capacity() == 1


def test_another_server_with_the_same_attempt_starts_nothing_more(
    make: MakeExecutor, cpu_cluster: Any
) -> None:
    first, second = make(), make()
    first.submit("attempt-shared", "code")
    before = cpu_cluster.get("/api/jobs/attempt-shared").json()

    second.submit("attempt-shared", "code")

    after = cpu_cluster.get("/api/jobs/attempt-shared").json()
    assert after["start_time"] == before["start_time"]
    assert after["runtime_env"]["working_dir"] == before["runtime_env"]["working_dir"]
    end(second, "attempt-shared")


def test_ray_refusing_a_job_that_is_there_is_no_error(make: MakeExecutor, cpu_cluster: Any) -> None:
    executor = make()
    executor.submit("attempt-again", "code")

    executor._ray.submit("attempt-again", {"entrypoint": "true"})

    assert "training_worker" in cpu_cluster.get("/api/jobs/attempt-again").json()["entrypoint"]
    end(executor, "attempt-again")


def test_ray_forgets_an_attempt_that_was_seen_to_end(make: MakeExecutor, cpu_cluster: Any) -> None:
    executor = make()
    executor.submit("attempt-over", "code")
    wait_for(lambda: b"training_worker" in executor.logs("attempt-over"))

    end(executor, "attempt-over")

    assert cpu_cluster.get("/api/jobs/attempt-over").status_code == 404
    assert b"training_worker attempt" in executor.logs("attempt-over")


def test_a_program_that_is_not_there_ends_the_attempt(make: MakeExecutor) -> None:
    executor = make(ray_python="/nowhere/python")
    executor.submit("attempt-nowhere", "code")

    wait_for(lambda: b"/nowhere/python: not found" in executor.logs("attempt-nowhere"))

    wait_for(lambda: not executor.status().get("attempt-nowhere"))


def test_a_wrong_token_is_told_with_the_next_step(make: MakeExecutor) -> None:
    executor = make(ray_token="wrong")

    assert "Set PEFTWISE_RAY_TOKEN" in str(executor.missing())
    assert "wrong" not in str(executor.missing())
    assert executor.capacity() == 0
    with pytest.raises(Unavailable, match="refused the token"):
        executor.submit("attempt-refused", "code")


def test_a_ray_that_is_killed_is_away_and_its_attempts_are_not_called_ended(
    make: MakeExecutor, cpu_cluster: Any
) -> None:
    executor = make()
    executor.submit("attempt-lost", "code")
    wait_for(lambda: b"training_worker" in executor.logs("attempt-lost"))
    cpu_cluster.kill()
    try:
        assert "does not answer" in str(executor.missing())
        assert executor.capacity() == 0
        for ask in (
            executor.status,
            lambda: executor.cancel("attempt-lost"),
            lambda: executor.recover({"attempt-lost"}),
            lambda: executor.logs("attempt-lost"),
            lambda: executor.submit("attempt-new", "code"),
        ):
            with pytest.raises(Unavailable, match=r"Start it with `ray start --head`"):
                ask()
    finally:
        cpu_cluster.start()

    assert executor.recover({"attempt-lost"}) == frozenset()
    found = executor.status()["attempt-lost"]
    assert (found.is_running, found.how) == (False, "Ray does not know it any more")
    executor.submit("attempt-new", "code")
    end(executor, "attempt-new")


def test_something_else_at_the_address_is_told(tmp_path: Path) -> None:
    class Says(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Says) as server:
        threading.Thread(target=server.serve_forever).start()
        address = f"http://127.0.0.1:{server.server_port}"
        executor = RayExecutor(Settings(data_dir=tmp_path, ray_address=address))

        assert "is not Ray's dashboard" in str(executor.missing())
        with pytest.raises(Unavailable):
            executor.submit("attempt-1", "code")
        server.shutdown()


@pytest.mark.parametrize("address", [None, "", "head:8265", "ray://head:10001"])
def test_settings_must_say_where_ray_is(address: str | None) -> None:
    with pytest.raises(InvalidRequest, match="PEFTWISE_RAY_ADDRESS"):
        RayExecutor(Settings(executor="ray", ray_address=address))
