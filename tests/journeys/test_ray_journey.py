"""A real training as a job of a real Ray, over a restart of the server that asked for it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

START_SECONDS, STOP_SECONDS, TRAIN_SECONDS = 180, 60, 240
EXAMPLES, EPOCHS = 64, 30  # some 20 s of training on one processor, longer than a restart
CONFIGURATION = {
    "method": {"name": "lora", "r": 4, "lora_alpha": 8, "lora_dropout": 0.0},
    "optimizer": {"name": "adamw", "learning_rate": 1e-3},
    "batch_size": 8,
    "epochs": EPOCHS,
}


@contextmanager
def served(folder: Path, port: int, **settings: str) -> Iterator[httpx.Client]:
    """Serve while the block runs, and stop as Ctrl-C does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PEFTWISE_")}
    environment = kept | {f"PEFTWISE_{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "service", "serve", "--port", str(port)]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--data-dir", str(folder / "data")],
            stdout=log,
            stderr=log,
            env=environment,
        )
        try:
            note = folder / "data" / "server.json"
            wait_for(note.is_file, START_SECONDS)
            url = json.loads(note.read_text())["url"]
            with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
                wait_for(lambda: client.get("/livez").is_success, START_SECONDS)
                yield client
            process.send_signal(signal.SIGINT)
            assert process.wait(STOP_SECONDS) == 0
        finally:
            process.kill()
            process.wait()


def wait_for(condition: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


def good(response: httpx.Response) -> Any:
    assert response.is_success, response.text
    return response.json()


def submit(client: httpx.Client) -> str:
    pairs = ({"prompt": f"{n} + 1 =", "completion": str(n + 1)} for n in range(EXAMPLES))
    lines = "\n".join(map(json.dumps, pairs)).encode()
    files = {"file": ("train.jsonl", lines)}
    uploaded = good(client.post("/v1/files", data={"purpose": "fine-tune"}, files=files))
    order = {
        "model": "peftwise-tiny",
        "training_file": uploaded["id"],
        "peft": {"configuration": CONFIGURATION},
    }
    job_id: str = good(client.post("/v1/fine_tuning/jobs", json=order))["id"]
    return job_id


def told(client: httpx.Client, job_id: str) -> list[str]:
    events = good(client.get(f"/v1/fine_tuning/jobs/{job_id}/events", params={"limit": 100}))
    return [event["message"] for event in reversed(events["data"])]


def test_a_job_on_ray_goes_on_while_its_server_restarts(ray_cluster: Any, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs the extra `worker`")
    engine = {"executor": "ray", "ray_address": ray_cluster.address}
    engine["ray_token"] = ray_cluster.token
    with served(tmp_path, 0, **engine) as client:
        job_id = submit(client)
        wait_for(lambda: "Step 0" in " ".join(told(client, job_id)), TRAIN_SECONDS)
        port = client.base_url.port
    assert port is not None

    with served(tmp_path, port, **engine) as client:
        path = f"/v1/fine_tuning/jobs/{job_id}"
        wait_for(lambda: good(client.get(path))["finished_at"], TRAIN_SECONDS)
        job, events = good(client.get(path)), told(client, job_id)
        wait_for(lambda: client.get(f"/v1/runs/{job['peft']['run_id']}").is_success, 60)

    assert job["status"] == "succeeded", job
    assert sum("has claimed the job" in message for message in events) == 1
