"""Real processes are killed while they really train."""

import os
import signal
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")

LONG = 5000.0  # epochs: minutes of training
SHORT = 2.0


def kill(server: Any, words: str) -> None:
    [pid] = [pid for pid, command in server.workers().items() if words in command]
    os.kill(pid, signal.SIGKILL)


def test_a_killed_worker_leaves_a_job_that_says_so_and_a_server_that_goes_on(
    server: Any, wait: Any
) -> None:
    job_id = server.submit(epochs=LONG)
    server.wait_until_it_trains(job_id)

    kill(server, "attempt")
    wait(lambda: server.job(job_id)["status"] == "failed")

    error = server.job(job_id)["error"]
    assert error["code"] == "worker_lost"
    assert "killed by signal 9 (SIGKILL)" in error["message"]
    wait(lambda: not server.workers())  # the trainer does not outlive its parent
    assert server.http.get("/readyz").status_code == 200
    assert server.job(job_id)["peft"]["run_id"] is None

    next_id = server.submit(epochs=SHORT)
    wait(lambda: server.job(next_id)["status"] not in {"queued", "running"})
    job = server.job(next_id)
    assert job["status"] == "succeeded", job["error"]
    run = server.http.get(f"/v1/runs/{job['peft']['run_id']}").json()
    assert run["state"] == "succeeded"
    assert len(run["curve"]) >= 5


def test_a_killed_trainer_is_told_by_its_parent(server: Any, wait: Any) -> None:
    job_id = server.submit(epochs=LONG)
    server.wait_until_it_trains(job_id)

    kill(server, "train-child")
    wait(lambda: server.job(job_id)["status"] == "failed")

    assert "killed by signal 9 (SIGKILL)" in server.job(job_id)["error"]["message"]
    wait(lambda: not server.workers())


def test_ctrl_c_stops_the_server_and_its_children(server: Any, wait: Any) -> None:
    job_id = server.submit(epochs=LONG)
    server.wait_until_it_trains(job_id)

    server.stop(signal.SIGINT)

    assert server.workers() == {}
    server.start()
    error = server.job(job_id)["error"]
    assert error["code"] == "server_restarted"
    assert "Submit the job again." in error["message"]


def test_a_killed_server_takes_its_children_along(server: Any, wait: Any) -> None:
    job_id = server.submit(epochs=LONG)
    server.wait_until_it_trains(job_id)

    server.stop(signal.SIGKILL)

    wait(lambda: not server.workers())
    server.start()
    assert server.job(job_id)["error"]["code"] == "server_restarted"


def test_a_cancelled_job_stops_training(server: Any, wait: Any) -> None:
    job_id = server.submit(epochs=LONG)
    server.wait_until_it_trains(job_id)

    server.http.post(f"/v1/fine_tuning/jobs/{job_id}/cancel")

    wait(lambda: not server.workers())
    assert server.job(job_id)["status"] == "cancelled"
    events = server.http.get(f"/v1/fine_tuning/jobs/{job_id}/events").json()["data"]
    assert events[0]["message"] == "Cancelled."
