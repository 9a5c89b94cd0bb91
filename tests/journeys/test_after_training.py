"""What a job made is downloaded, merged and tried, by the commands and from another machine."""

import json
import os
import subprocess
import sys
import time
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("torch", reason="needs the extra `worker`")
SECONDS = 240.0
LINES = "".join(
    json.dumps({"prompt": f"{n} plus {n} is", "completion": f" {2 * n}"}) + "\n" for n in range(60)
)
CONFIGURATION = {
    "method": {"name": "lora", "r": 4, "lora_alpha": 8, "lora_dropout": 0.0},
    "optimizer": {"name": "adamw", "learning_rate": 0.004},
    "epochs": 3.0,
    "max_length_tokens": 64,
}


@pytest.fixture(scope="module")
def job(shared_service: httpx.Client) -> Any:
    """Return a job that has succeeded."""
    jobs = "/v1/fine_tuning/jobs"
    files = {"file": ("sums.jsonl", LINES.encode())}
    upload = shared_service.post("/v1/files", data={"purpose": "fine-tune"}, files=files)
    order = {
        "model": "peftwise-tiny",
        "training_file": upload.json()["id"],
        "peft": {"configuration": CONFIGURATION},
    }
    job_id = shared_service.post(jobs, json=order).json()["id"]
    too_early = shared_service.get(f"{jobs}/{job_id}/model")
    assert too_early.status_code == 400
    deadline = time.monotonic() + SECONDS
    while (found := shared_service.get(f"{jobs}/{job_id}").json())["status"] != "succeeded":
        assert found["status"] in {"queued", "running"}, found["error"]
        assert time.monotonic() < deadline
        time.sleep(0.3)
    return found


@pytest.fixture
def peftwise(shared_service: httpx.Client, tmp_path: Path) -> Any:
    """Return `peftwise` as it runs on a machine that has nothing but the service's address."""

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "service", *arguments, "--data-dir", str(tmp_path / "mine")],
            env=os.environ | {"PEFTWISE_URL": str(shared_service.base_url)},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_the_download_holds_the_adapter_and_its_card(
    shared_service: httpx.Client, job: Any
) -> None:
    answer = shared_service.get(f"/v1/fine_tuning/jobs/{job['id']}/model")
    with zipfile.ZipFile(BytesIO(answer.content)) as archive:
        names = set(archive.namelist())
        card = archive.read("README.md").decode()
    assert {"adapter_config.json", "adapter_model.safetensors", "peftwise.json"} <= names
    told = shared_service.get(f"/v1/fine_tuning/jobs/{job['id']}/model-card").text
    assert card == told
    run = shared_service.get(f"/v1/runs/{job['peft']['run_id']}").json()
    assert card.startswith('---\nbase_model: "peftwise-tiny"\nlibrary_name: "peft"\n')
    for said in (
        job["fine_tuned_model"],
        run["task"]["dataset"]["sha256"],
        f"{run['scores']['base_loss']:.4f}",
        "Training time, forecast",
        "0.004",
        run["versions"]["torch"],
        "Licence",
    ):
        assert said in card
    assert "/adapters/" not in card


def test_it_is_merged_into_weights_that_load_alone(peftwise: Any, job: Any, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    said = peftwise("merge", job["id"], "--to", str(tmp_path / "whole"))

    assert "Wrote" in said
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "whole")
    assert model.config.model_type == "llama"


def test_it_is_tried_beside_its_base(peftwise: Any, job: Any) -> None:
    said = json.loads(peftwise("try", job["id"], "7 plus 7 is", "--most-tokens", "4", "--json"))

    [answer] = said
    assert answer["prompt"] == "7 plus 7 is"
    assert answer["base"] != answer["tuned"]


def test_it_is_downloaded_into_a_folder(peftwise: Any, job: Any, tmp_path: Path) -> None:
    peftwise("jobs", "download", job["id"], "--to", str(tmp_path / "mine-now"))

    assert (tmp_path / "mine-now" / "adapter_model.safetensors").is_file()
