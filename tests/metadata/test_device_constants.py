"""What is known of a device beyond its data sheet: kept whole, and learnt with caution."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from metadata.device_constants import (
    FARTHEST_FACTOR,
    PRIOR_RUNS,
    Calibration,
    as_measured,
    constants_of,
    keep_calibration,
    learnt_offset,
    read_calibrations,
)
from metadata.features.device import find_device, this_machine
from metadata.records import Device
from metadata.step_time import DeviceConstants, expected_constants

L40S = find_device("NVIDIA L40S")
MEASURED = DeviceConstants(
    bf16_flops_per_second=2e14,
    fp32_flops_per_second=4e13,
    cached_bytes_per_second=1.5e12,
    launch_seconds=1.2e-5,
    bytes_per_second=7e11,
    cache_bytes=10**8,
    starts_ahead=True,
)


def calibration(device: Device = L40S, constants: DeviceConstants = MEASURED) -> Calibration:
    return Calibration(
        device=as_measured(device, constants),
        constants=constants,
        measured_at=datetime(2026, 1, 2, tzinfo=UTC),
        processor="a processor",
        versions={"torch": "2"},
    )


def test_one_absurd_run_moves_a_forecast_by_a_third_at_most() -> None:
    most = FARTHEST_FACTOR ** (1 / PRIOR_RUNS)

    for log_ratio in (-50.0, -5.0, 5.0, 50.0):
        assert abs(learnt_offset(np.array([log_ratio]))) <= np.log(most) * 1.0001
    assert most < 1.4


def test_one_absurd_run_among_many_moves_their_forecast_by_little() -> None:
    rng = np.random.default_rng(0)
    runs = rng.normal(0.5, 0.2, 40)

    moved = learnt_offset(np.append(runs, 20.0)) - learnt_offset(runs)

    assert 0 < moved < 0.04


@pytest.mark.parametrize("log_ratio", [-3.0, -0.5, 0.7, 3.0])
def test_many_runs_that_agree_are_believed(log_ratio: float) -> None:
    assert learnt_offset(np.full(1000, log_ratio)) == pytest.approx(log_ratio, rel=0.01)


def test_runs_near_each_other_count_against_five_that_say_nothing() -> None:
    assert learnt_offset(np.full(5, 0.4)) == pytest.approx(0.2)
    assert learnt_offset(np.array([])) == 0


def test_the_offset_is_the_likeliest_by_hubers_loss() -> None:
    rng = np.random.default_rng(1)
    limit = np.log(FARTHEST_FACTOR)
    for _ in range(20):
        runs = rng.normal(rng.normal(), 2.5, rng.integers(1, 12))

        def loss(offset: float, runs: np.ndarray = runs) -> float:
            far = np.abs(runs - offset)
            huber = np.where(far <= limit, far**2 / 2, limit * (far - limit / 2))
            return float(huber.sum() + PRIOR_RUNS * offset**2 / 2)

        best = minimize_scalar(loss, bounds=(-10, 10), method="bounded", options={"xatol": 1e-9})
        assert learnt_offset(runs) == pytest.approx(best.x, abs=1e-5)


def test_a_calibration_is_read_as_it_was_kept_and_replaces_an_earlier_one(tmp_path: Path) -> None:
    first, second = calibration(), calibration(constants=MEASURED.at(MEASURED.logs + 0.1))

    keep_calibration(tmp_path, first)
    keep_calibration(tmp_path, second)
    keep_calibration(tmp_path, calibration(this_machine()))

    known = read_calibrations(tmp_path)
    assert set(known) == {L40S.name, this_machine().name}
    assert known[L40S.name] == second
    assert len(list(tmp_path.iterdir())) == 2


def test_a_damaged_calibration_is_left_aside_and_the_others_are_read(tmp_path: Path) -> None:
    keep_calibration(tmp_path, calibration())
    (tmp_path / "half.json").write_text('{"device": ')
    (tmp_path / "wrong.json").write_text('{"device": {"name": "x"}}')

    assert set(read_calibrations(tmp_path)) == {L40S.name}
    assert read_calibrations(tmp_path / "absent") == {}


def test_a_name_with_slashes_stays_in_its_folder(tmp_path: Path) -> None:
    strange = L40S.model_copy(update={"name": "../../GPU of ours"})

    kept = keep_calibration(tmp_path / "devices", calibration(strange))

    assert kept.parent == tmp_path / "devices"
    assert set(read_calibrations(tmp_path / "devices")) == {strange.name}


def test_measured_constants_stand_before_those_of_the_data_sheet() -> None:
    known = {L40S.name: calibration()}

    assert constants_of(L40S, known) == MEASURED
    assert constants_of(L40S, {}) == expected_constants(L40S)


@pytest.mark.parametrize("device", [L40S, this_machine()], ids=["cuda", "cpu"])
def test_the_figures_of_a_measured_device_lead_back_to_its_constants(device: Device) -> None:
    said = expected_constants(as_measured(device, MEASURED))

    rate = "fp32_flops_per_second" if device.kind == "cpu" else "bf16_flops_per_second"
    for name in (rate, "bytes_per_second", "launch_seconds"):
        assert getattr(said, name) == pytest.approx(getattr(MEASURED, name))
