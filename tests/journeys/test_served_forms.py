"""A job says what is to load its result, and a real worker leaves just that form."""

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

TRAIN_SECONDS = 300
CONFIGURATION = {
    "method": {"name": "lora", "r": 4, "lora_alpha": 8, "lora_dropout": 0.0},
    "optimizer": {"name": "adamw", "learning_rate": 0.002},
    "max_length_tokens": 64,
    "epochs": 0.5,
}
LINES = "".join(f'{{"prompt": "{n} + 1 =", "completion": "{n + 1}"}}\n' for n in range(100))


def good(response: httpx.Response) -> Any:
    assert response.is_success, response.text
    return response.json()


def wait_for_end(client: httpx.Client, job_id: str) -> Any:
    deadline = time.monotonic() + TRAIN_SECONDS
    while time.monotonic() < deadline:
        job = good(client.get(f"/v1/fine_tuning/jobs/{job_id}"))
        if job["status"] not in {"queued", "running"}:
            return job
        time.sleep(0.3)
    raise AssertionError(f"the job did not end in {TRAIN_SECONDS} s: {job}")


def test_the_worker_saves_merged_weights_or_plain_lora(
    service: httpx.Client, tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="training needs the extra `worker`")
    files = {"file": ("sums.jsonl", LINES.encode())}
    uploaded = good(service.post("/v1/files", data={"purpose": "fine-tune"}, files=files))
    saved = {}

    for form in ("merged", "vllm"):
        order = {
            "model": "peftwise-tiny",
            "training_file": uploaded["id"],
            "peft": {"configuration": CONFIGURATION, "serve_with": form},
        }
        job = wait_for_end(service, good(service.post("/v1/fine_tuning/jobs", json=order))["id"])
        assert job["status"] == "succeeded", job["error"]
        attempt = job["peft"]["run_id"].replace("run-", "attempt-")
        saved[form] = tmp_path / "data" / "adapters" / attempt

    assert {path.name for path in saved["merged"].iterdir()} >= {"config.json", "model.safetensors"}
    assert not [*saved["merged"].glob("adapter*")]
    plain = json.loads((saved["vllm"] / "adapter_config.json").read_text())
    assert (plain["peft_type"], plain["r"]) == ("LORA", 4)
    assert (saved["vllm"] / "adapter_model.safetensors").is_file()
    assert not (saved["vllm"] / "model.safetensors").exists()
