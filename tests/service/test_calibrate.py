"""`peftwise calibrate` measures this machine once, and later forecasts know it."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from metadata.device_constants import Calibration, keep_calibration
from metadata.errors import UnknownDevice
from metadata.features.device import MEASURED, find_device, this_machine
from service.catalogue.devices import Devices

CONFIGURATION = {
    "method": {"name": "lora", "r": 8, "lora_alpha": 16, "lora_dropout": 0.0},
    "optimizer": {"name": "adamw", "learning_rate": 1e-3},
}


Run = Callable[..., Any]


def test_this_machine_is_measured_and_what_was_measured_is_used_by_name(
    run: Run, command_folder: Path
) -> None:
    ended = run("calibrate", "--device", "cpu", "--seconds", "1", "--json")

    assert ended.code == 0, ended.err
    found = Calibration.model_validate(json.loads(ended.out))
    assert found.device.name == this_machine().name + MEASURED
    assert Devices(command_folder / "devices").here() == found.device


def test_forecasts_follow_what_was_measured(
    run: Run, command_folder: Path, tmp_path: Path, world: ModuleType
) -> None:
    data, configuration = tmp_path / "weeks.jsonl", tmp_path / "lora.json"
    data.write_text('{"prompt": "How many days are two weeks?", "completion": "14"}\n' * 60)
    configuration.write_text(json.dumps(CONFIGURATION))
    ask = ["estimate", str(data), "--model", "peftwise-tiny", "--json"]
    ask += ["--configuration", str(configuration)]
    before = json.loads(run(*ask).out)["train_seconds"]["expected"]

    keep_calibration(command_folder / "devices", world.times_slower(this_machine(), 10))

    after = json.loads(run(*ask).out)["train_seconds"]["expected"]
    assert 5 * before < after < 20 * before  # what past runs correct depends on how long steps are


def test_count_and_memory_are_as_asked_and_speeds_as_measured(
    tmp_path: Path, world: ModuleType
) -> None:
    keep_calibration(tmp_path, world.times_slower(find_device("L40S"), 2))

    device = Devices(tmp_path).find("l40s", count=4, memory_gib=24)

    assert (device.count, device.memory_bytes) == (4, 24 * 2**30)
    assert device.bf16_tflops == pytest.approx(362 / 2)


def test_a_gpu_of_no_table_is_known_once_it_was_measured(tmp_path: Path, world: ModuleType) -> None:
    strange = find_device("L40S").model_copy(update={"name": "Strange GPU 9"})
    with pytest.raises(UnknownDevice):
        Devices(tmp_path).find("Strange GPU 9")

    keep_calibration(tmp_path, world.times_slower(strange, 2))

    found = Devices(tmp_path).find("strange gpu 9", count=2, memory_gib=8)
    assert (found.name, found.count, found.memory_bytes) == (
        f"Strange GPU 9{MEASURED}",
        2,
        8 * 2**30,
    )


def test_a_device_that_was_not_measured_has_the_figures_of_its_sheet(tmp_path: Path) -> None:
    assert Devices(tmp_path / "absent").find("L40S") == find_device("L40S")
    assert Devices(tmp_path).here() == this_machine()


def test_a_python_that_does_not_run_is_told_with_the_next_step(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEFTWISE_WORKER_PYTHON", "/absent/python")

    ended = run("calibrate", "--seconds", "1")

    assert ended.code == 1
    assert "Set PEFTWISE_WORKER_PYTHON" in ended.err


@pytest.mark.parametrize("wrong", [("--seconds", "0"), ("--seconds", "9999"), ("--device", "tpu")])
def test_what_cannot_be_asked_is_refused_before_anything_starts(
    run: Run, wrong: tuple[str, str]
) -> None:
    assert run("calibrate", *wrong).code == 2
