"""Jobs that train on several devices, and what becomes of them when somebody goes away.

Two processes train together by gloo, each in a session of its own.
"""

import os
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fault_campaign import light_server
from fault_server import MODEL_ID, Server, processes
from light_trainer import STEPS, loss_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")

LEASE_SECONDS = 12.0
SOON_SECONDS = 5.0  # a kill spreads in milliseconds; two busy cores take their time
LONG, MIDDLE, SHORT = 5000.0, 40.0, 12.0  # epochs


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Server]:
    """Return a server that trains each job on two devices."""
    folder = tmp_path_factory.mktemp("pair") / "data"
    server = Server(
        folder,
        {MODEL_ID: str(tiny_model)},
        checkpoint_seconds=0.5,
        lease_seconds=LEASE_SECONDS,
        devices_per_run=2,
    )
    yield server
    server.close()


def ranks_of(server: Any) -> list[int]:
    """Return the processes that train, in the order of their start."""
    found = server.workers()
    return sorted(p for p, c in found.items() if "train-child" in c and "launcher" not in c)


def launcher_of(server: Any) -> int:
    [pid] = [pid for pid, c in server.workers().items() if "training_worker.launcher" in c]
    return pid


def wait_for_a_checkpoint(server: Any, job_id: str, wait: Any) -> int:
    def step() -> Any:
        job = server.job(job_id)
        assert job["status"] in {"queued", "running"}, (job["error"], log_of(server, job_id))
        return job["peft"]["checkpoint_step"]

    found: int = wait(step)
    return found


def log_of(server: Any, job_id: str) -> str:
    return str(server.http.get(f"/v1/fine_tuning/jobs/{job_id}/logs").json()["text"])


def cancel(server: Any, job_id: str, wait: Any) -> None:
    server.http.post(f"/v1/fine_tuning/jobs/{job_id}/cancel")
    wait(lambda: not server.workers())


def end_well(server: Any, job_id: str, wait: Any) -> Any:
    wait(lambda: server.job(job_id)["status"] not in {"queued", "running"})
    job = server.job(job_id)
    assert job["status"] == "succeeded", (job["error"], log_of(server, job_id))
    doctor = server.http.get("/v1/doctor").json()["data"]
    assert [line for line in doctor if not line["is_well"]] == []
    return job


def test_two_processes_train_one_job_and_are_gone_afterwards(pair: Any, wait: Any) -> None:
    job_id = pair.submit(epochs=SHORT)
    wait_for_a_checkpoint(pair, job_id, wait)
    tree, ranks = set(pair.workers()), ranks_of(pair)
    sessions = {os.getsid(pid) for pid in ranks}

    job = end_well(pair, job_id, wait)

    assert (len(ranks), len(sessions)) == (2, 2)
    assert "2 processes train together, joined by gloo" in log_of(pair, job_id)
    assert job["peft"]["attempts"] == 1
    run = pair.http.get(f"/v1/runs/{job['peft']['run_id']}").json()
    assert run["task"]["device"]["count"] == 1, "both share one processor"
    wait(lambda: not tree & set(processes()), seconds=SOON_SECONDS)


def test_where_the_server_hangs_no_process_of_either_rank_outlives_the_lease(
    pair: Any, wait: Any
) -> None:
    job_id = pair.submit(epochs=LONG)
    wait_for_a_checkpoint(pair, job_id, wait)
    tree = set(pair.workers())
    assert len(tree) >= 4  # attempt, launcher, ranks

    pair.process.send_signal(signal.SIGSTOP)
    try:
        wait(lambda: not tree & set(processes()), seconds=LEASE_SECONDS)
    finally:
        pair.process.send_signal(signal.SIGCONT)

    cancel(pair, job_id, wait)


@pytest.mark.parametrize("moment", ["training", "importing torch"])
def test_launcher_and_ranks_die_with_the_attempt(pair: Any, wait: Any, moment: str) -> None:
    job_id = pair.submit(epochs=LONG)
    wait(lambda: len(ranks_of(pair)) == 2)
    if moment == "training":
        wait_for_a_checkpoint(pair, job_id, wait)
    tree, [attempt] = set(pair.workers()), pair.attempts()

    os.kill(attempt, signal.SIGKILL)

    wait(lambda: not tree & set(processes()), seconds=SOON_SECONDS)
    cancel(pair, job_id, wait)


@pytest.mark.parametrize(
    "who",
    [
        "the second rank",
        pytest.param("the first rank", marks=pytest.mark.slow),
        pytest.param("the launcher", marks=pytest.mark.slow),
    ],
)
def test_what_is_killed_takes_the_others_along_and_counts_as_a_loss(
    pair: Any, wait: Any, who: str
) -> None:
    job_id = pair.submit(epochs=LONG)
    wait_for_a_checkpoint(pair, job_id, wait)
    first, second = ranks_of(pair)
    pid = {"the first rank": first, "the second rank": second}.get(who) or launcher_of(pair)
    tree = set(pair.workers())

    os.kill(pid, signal.SIGKILL)

    wait(lambda: not tree & set(processes()), seconds=LEASE_SECONDS)
    wait(lambda: pair.job(job_id)["peft"]["retries"] == 1)
    told = pair.events(job_id)
    assert any("SIGKILL" in event and "goes on from step" in event for event in told), told
    cancel(pair, job_id, wait)


@pytest.mark.slow
def test_two_ranks_go_on_from_their_checkpoint_and_end_well(pair: Any, wait: Any) -> None:
    job_id = pair.submit(epochs=MIDDLE)
    step = wait_for_a_checkpoint(pair, job_id, wait)
    os.kill(ranks_of(pair)[1], signal.SIGKILL)

    job = end_well(pair, job_id, wait)

    assert job["peft"]["attempts"] == 2
    assert job["peft"]["checkpoint_step"] > step


@pytest.mark.parametrize("how", ["the attempt is told", "the server is stopped"])
def test_two_ranks_that_are_told_to_stop_leave_a_checkpoint_and_lose_no_try(
    pair: Any, wait: Any, how: str
) -> None:
    job_id = pair.submit(epochs=LONG)
    before = wait_for_a_checkpoint(pair, job_id, wait)
    [attempt] = pair.attempts()

    if how == "the attempt is told":
        os.kill(attempt, signal.SIGTERM)
        wait(lambda: attempt not in processes())
    else:
        assert pair.stop(signal.SIGINT) == 0
        assert pair.workers() == {}
        pair.start()

    told = pair.events(job_id)
    assert any("asked to stop" in event for event in told), told
    job = pair.job(job_id)
    assert (job["peft"]["retries"], job["peft"]["checkpoint_step"] > before) == (0, True), told
    cancel(pair, job_id, wait)


@pytest.fixture
def on_ray(ray_clusters: Any, tmp_path: Path) -> Iterator[tuple[Server, Any]]:
    """Return a server of light trainings and the Ray of one node that it starts them on."""
    cluster = ray_clusters.RayCluster(gpus=0)
    server = None
    try:
        cluster.start()
        server = light_server(
            tmp_path,
            step_seconds=0.2,
            lease_seconds=8.0,
            executor="ray",
            ray_address=cluster.address,
            ray_token=cluster.token,
        )
        yield server, cluster
    finally:
        if server is not None:
            server.close()
        cluster.close()


def leases_of(server: Any) -> int:
    """Return how many attempts hold a lease that has not run out."""
    query = "SELECT count(*) FROM attempts WHERE ended_at IS NULL AND lease_expires_at > ?"
    with sqlite3.connect(f"file:{server.data_dir}/peftwise.sqlite?mode=ro", uri=True) as database:
        now = datetime.now(UTC).replace(tzinfo=None).isoformat(sep=" ")
        return int(database.execute(query, (now,)).fetchone()[0])


@pytest.mark.slow
@pytest.mark.parametrize("attempt_lives", [False, True], ids=["dies", "lives"])
def test_a_ray_that_is_killed_and_comes_back_costs_no_waiting_job_a_try(
    on_ray: tuple[Any, Any], wait: Any, attempt_lives: bool
) -> None:
    server, ray = on_ray
    file_id = server.upload()
    first, second = (server.submit(file_id=file_id) for _ in range(2))
    wait_for_a_checkpoint(server, first, wait)

    ray.kill(spared=set(server.workers()) if attempt_lives else set())
    wait(lambda: not server.attempts(), seconds=40)
    assert leases_of(server) <= 1
    wait(lambda: not leases_of(server), seconds=20)
    time.sleep(2.0)  # the first job may start again, if only there were an engine
    waiting = server.job(second)
    assert (waiting["status"], waiting["peft"]["attempts"]) == ("queued", 0)
    assert server.job(first)["status"] == ("succeeded" if attempt_lives else "queued")
    ray.start()

    for job_id, tries in ((first, 1 if attempt_lives else 2), (second, 1)):
        job = end_well(server, job_id, wait)
        assert job["peft"]["attempts"] == tries, server.events(job_id)
        run = server.http.get(f"/v1/runs/{job['peft']['run_id']}").json()
        assert run["scores"]["best_loss"] == loss_of(STEPS), "each step was taken once"
    assert server.attempts() == set()
