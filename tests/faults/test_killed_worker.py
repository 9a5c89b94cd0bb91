"""Real processes are killed while they really train."""

import os
import signal
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")

LONG = 5000.0  # epochs: minutes of training
MIDDLE = 60.0  # some seconds


def kill(server: Any, words: str) -> None:
    [pid] = [pid for pid, command in server.workers().items() if words in command]
    os.kill(pid, signal.SIGKILL)


def wait_for_a_checkpoint(server: Any, job_id: str, wait: Any) -> int:
    def step() -> Any:
        job = server.job(job_id)
        assert job["status"] in {"queued", "running"}, job
        return job["peft"]["checkpoint_step"]

    found: int = wait(step)
    return found


@pytest.mark.parametrize("who", [" attempt ", "train-child"])
def test_what_is_killed_goes_on_from_its_checkpoint_and_ends_well(
    server: Any, wait: Any, who: str
) -> None:
    job_id = server.submit(epochs=MIDDLE)
    step = wait_for_a_checkpoint(server, job_id, wait)

    kill(server, who)
    wait(lambda: server.job(job_id)["status"] not in {"queued", "running"})

    job = server.job(job_id)
    assert (job["status"], job["peft"]["attempts"]) == ("succeeded", 2), job["error"]
    events = server.events(job_id)
    assert any("SIGKILL" in event and "goes on from step" in event for event in events), events
    run = server.http.get(f"/v1/runs/{job['peft']['run_id']}").json()
    steps = [point["step"] for point in run["curve"] if point["split"] == "validation"]
    assert steps == sorted(set(steps))
    assert (steps[0], steps[-1] >= step) == (0, True)


def test_ctrl_c_has_what_trains_write_a_checkpoint_and_costs_no_try(server: Any, wait: Any) -> None:
    job_id = server.submit(epochs=LONG)
    before = wait_for_a_checkpoint(server, job_id, wait)

    server.stop(signal.SIGINT)

    assert server.workers() == {}
    server.start()
    job = server.job(job_id)
    assert job["status"] in {"queued", "running"}
    assert (job["peft"]["retries"], job["peft"]["checkpoint_step"] >= before) == (0, True)
    wait(lambda: any("checkpoint" in event for event in server.events(job_id)[:3]))
    server.http.post(f"/v1/fine_tuning/jobs/{job_id}/cancel")
    wait(lambda: not server.workers())


def test_a_killed_server_takes_its_children_along_and_its_jobs_go_on(
    server: Any, wait: Any
) -> None:
    job_id = server.submit(epochs=MIDDLE)
    server.wait_until_it_trains(job_id)

    server.stop(signal.SIGKILL)

    wait(lambda: not server.workers())
    server.start()
    wait(lambda: server.job(job_id)["status"] == "succeeded")
    assert server.job(job_id)["peft"]["attempts"] == 2


def test_a_cancelled_job_stops_training(server: Any, wait: Any) -> None:
    job_id = server.submit(epochs=LONG)
    server.wait_until_it_trains(job_id)

    server.http.post(f"/v1/fine_tuning/jobs/{job_id}/cancel")

    wait(lambda: not server.workers())
    assert server.job(job_id)["status"] == "cancelled"
    assert server.events(job_id)[0] == "Cancelled."


def test_a_paused_job_stops_training_and_goes_on_when_it_is_resumed(server: Any, wait: Any) -> None:
    job_id = server.submit(epochs=MIDDLE)
    server.wait_until_it_trains(job_id)
    server.http.post(f"/v1/fine_tuning/jobs/{job_id}/pause")
    wait(lambda: not server.workers())
    assert server.job(job_id)["status"] == "paused"

    server.http.post(f"/v1/fine_tuning/jobs/{job_id}/resume")
    wait(lambda: server.job(job_id)["status"] == "succeeded")
    assert server.job(job_id)["peft"]["retries"] == 0
