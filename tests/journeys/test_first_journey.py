"""The whole loop on a real server: ask, train, learn, ask again."""

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

TASKS = Path(__file__).parents[2] / ".." / "shared" / "data" / "tasks"
EXAMPLES = 200
TRAIN_SECONDS = 400


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
