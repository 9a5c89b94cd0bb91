"""The whole loop on a real server: ask, train, learn, ask again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

TASKS = Path(__file__).parents[2] / ".." / "shared" / "data" / "tasks"
EXAMPLES = 200
START_SECONDS = 180
TRAIN_SECONDS = 400
STOP_SECONDS = 60


def training_file(folder: Path) -> Path:
    """Return 200 examples: real ones where the data lies beside the checkout, else made up."""
    path = folder / "train.jsonl"
    real = TASKS / "trec_qc.jsonl"
    if real.is_file():
        lines = real.read_text().splitlines()[:EXAMPLES]
    else:
        lines = [
            json.dumps({"prompt": f"What is {n} plus {n + 3}?", "completion": str(2 * n + 3)})
            for n in range(EXAMPLES)
        ]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def service(tmp_path: Path) -> Iterator[httpx.Client]:
    """Start `peftwise serve` on a free port, and stop it as Ctrl-C does."""
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


def good(response: httpx.Response) -> Any:
    assert response.is_success, response.text
    return response.json()


def ask(client: httpx.Client, file_id: str) -> Any:
    question = {
        "base_model": {"id": "peftwise-tiny"},
        "dataset": {"file_id": file_id},
        "hardware": {"device": "cpu"},
        "budget": {"train_minutes": 0.5},
        "count": 3,
    }
    return good(client.post("/v1/recommendations", json=question))


def wait_for_job(client: httpx.Client, job_id: str) -> Any:
    deadline = time.monotonic() + TRAIN_SECONDS
    while time.monotonic() < deadline:
        job = good(client.get(f"/v1/fine_tuning/jobs/{job_id}"))
        if job["status"] == "succeeded" and is_recorded(client, job["peft"]["run_id"]):
            return job
        if job["status"] in {"failed", "cancelled"}:
            return job
        time.sleep(0.5)
    raise AssertionError(f"the job did not end in {TRAIN_SECONDS} s: {job}")


def is_recorded(client: httpx.Client, run_id: str) -> bool:
    """Say whether the run of a job is there; it follows a moment after the job's end."""
    return client.get(f"/v1/runs/{run_id}").status_code == 200


def test_a_result_joins_the_evidence_of_the_next_answer(
    service: httpx.Client, tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="training needs the extra `worker`")
    with training_file(tmp_path).open("rb") as file:
        uploaded = good(
            service.post("/v1/files", data={"purpose": "fine-tune"}, files={"file": file})
        )
    first = ask(service, uploaded["id"])

    job = good(
        service.post(
            "/v1/fine_tuning/jobs",
            json={
                "model": "peftwise-tiny",
                "training_file": uploaded["id"],
                "peft": {"recommendation_id": first["id"], "rank": 1},
            },
        )
    )
    ended = wait_for_job(service, job["id"])

    assert ended["status"] == "succeeded", ended["error"]
    run_id = ended["peft"]["run_id"]
    run = good(service.get(f"/v1/runs/{run_id}"))
    assert run["state"] == "succeeded"
    assert run["score"] is not None
    assert run["configuration"] == first["configurations"][0]["configuration"]
    curve = good(service.get(f"/v1/runs/{run_id}/curve"))["data"]
    validation = [point for point in curve if point["split"] == "validation"]
    assert len({point["step"] for point in validation}) >= 5
    listed = good(service.get("/v1/runs", params={"limit": 5}))["data"]
    assert run_id in [one["id"] for one in listed]

    refit = good(service.post("/v1/knowledge/refit"))
    second = ask(service, uploaded["id"])

    assert refit
    assert second["evidence"]["runs"] == first["evidence"]["runs"] + 1
    assert second["evidence"]["distance"] <= first["evidence"]["distance"]
    near = [near for one in second["configurations"] for near in one["why"]["nearest_runs"]]
    assert run_id in [one["run_id"] for one in near]
    assert service.get(f"/runs/{run_id}").status_code == 200
    assert service.get(f"/jobs/{job['id']}").status_code == 200
