"""One job on several devices: how many may run, what is told where they are too few or small."""

import time
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from metadata.errors import Unavailable
from metadata.features.device import find_device
from service.executors.dispatcher import Dispatcher
from service.executors.local import LocalExecutor
from service.jobs.attempts import Attempts
from service.jobs.losses import Losses
from service.jobs.queue import Queue
from service.services import open_services
from service.settings import Settings

GPUS = '#!/bin/sh\ncase "$1" in *memory*) echo "0, GPU-1, NVIDIA {name}, 24564";; *) {uuids};; esac'


def with_gpus(folder: Path, monkeypatch: pytest.MonkeyPatch, *, name: str, count: int) -> None:
    """Have a program in `nvidia-smi`'s place tell of so many GPUs."""
    uuids = "; ".join(f"echo GPU-{number + 1}" for number in range(count))
    program = folder / "nvidia-smi"
    program.write_text(GPUS.format(name=name, uuids=uuids))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def python_of(folder: Path) -> Path:
    """Return an interpreter that says how it was started, and sleeps."""
    program = folder / "python"
    program.write_text("#!/bin/sh\necho $CUDA_VISIBLE_DEVICES $*\nexec /bin/sleep 60\n")
    program.chmod(0o755)
    return program


def test_each_attempt_gets_its_devices_and_is_told_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6,7,9")
    settings = Settings(data_dir=tmp_path, worker_python=python_of(tmp_path))
    executor = LocalExecutor(settings.model_copy(update={"devices_per_run": 2, "parallel_runs": 2}))
    try:
        assert executor.capacity() == 2
        for number in (1, 2):
            executor.submit(f"attempt-{number}", "code", devices=2)
        assert executor.capacity() == 0

        for number, given in ((1, "4,6"), (2, "7,9")):
            deadline = time.monotonic() + 20
            while not (said := executor.logs(f"attempt-{number}").decode()):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert (said.startswith(f"{given} "), said.endswith("--devices 2\n")) == (True, True)
    finally:
        executor.close()


def test_too_few_gpus_are_told_with_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_gpus(tmp_path, monkeypatch, name="L40S", count=2)
    executor = LocalExecutor(Settings(data_dir=tmp_path, devices_per_run=4))

    missing = executor.missing()

    assert missing is not None
    assert "needs 4 GPUs, this machine has 2" in missing
    assert "PEFTWISE_DEVICES_PER_RUN" in missing


@pytest.mark.parametrize("price", [None, 6.0])
def test_forecasts_are_for_the_gpus_of_an_attempt(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, price: float | None
) -> None:
    with_gpus(tmp_path, monkeypatch, name="A10", count=2)
    changes = {"executor": "local", "devices_per_run": 2, "usd_per_hour": price}

    desk = open_services(settings.model_copy(update=changes)).desk

    table = find_device("A10")
    assert (desk.device.name, desk.device.count) == (table.name, 2)
    assert desk.device.memory_bytes == pytest.approx(24564 * 2**20)
    assert desk.device.usd_per_hour == (None if price is None else 3.0), "each has its share"


def order(client: TestClient, file_id: str, model: str) -> str:
    configuration = {
        "method": {"name": "lora", "r": 8, "lora_alpha": 16, "lora_dropout": 0.0},
        "optimizer": {"name": "adamw", "learning_rate": 1e-4},
    }
    body = {"model": model, "training_file": file_id, "peft": {"configuration": configuration}}
    answer = client.post("/v1/fine_tuning/jobs", json=body)
    assert answer.is_success, answer.text
    return str(answer.json()["id"])


@pytest.mark.parametrize(
    ("model", "is_warned"), [("Qwen/Qwen2.5-32B", True), ("Qwen/Qwen2.5-0.5B", False)]
)
def test_a_job_too_large_for_a_gpu_of_this_machine_is_accepted_with_a_warning(
    client: TestClient, file_id: str, model: str, is_warned: bool
) -> None:
    services: Any = client.app.state.services  # type: ignore[attr-defined]
    object.__setattr__(services.desk, "device", find_device("A10"))  # as on a machine with one

    job_id = order(client, file_id, model)

    events = client.get(f"/v1/fine_tuning/jobs/{job_id}/events").json()["data"]
    warned = [event["message"] for event in events if event["level"] == "warn"]
    assert bool(warned) == is_warned
    if is_warned:
        assert "A10 has 2" in warned[0]
        assert "It may not fit: the forecast is" in warned[0]


class _GoesAway(LocalExecutor):
    """Has a place until it is asked to start something, as an engine that is killed then."""

    is_away = False

    def missing(self) -> str | None:
        return None

    def capacity(self) -> int:
        return 0 if self.is_away else 1

    def submit(self, attempt_id: str, code: str, *, devices: int = 1) -> None:
        self.is_away = True
        raise Unavailable("The engine does not answer. Start it.")


def test_an_engine_that_goes_away_at_a_start_costs_no_try(
    queue: Queue, attempts: Attempts, losses: Losses, settings: Settings, make_order: Any
) -> None:
    job = queue.submit(make_order())

    Dispatcher(attempts, losses, _GoesAway(settings), name="here").step()

    found = queue.get(job.id)
    assert (found.state, found.retries) == ("queued", 0)
    assert "does not answer" in queue.events(job.id).events[0].message
