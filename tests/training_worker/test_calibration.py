"""A calibration measures what training reaches, in about the time it is given."""

import time
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest
import torch

from metadata.device_constants import Calibration
from metadata.errors import InvalidRequest
from metadata.features.device import MEASURED, this_machine
from metadata.step_time import expected_constants, step_seconds
from training_worker.__main__ import main
from training_worker.calibration.command import calibrate
from training_worker.calibration.measuring import addition_rate, fastest, product_rate
from training_worker.calibration.steps import NARROW, STEPS, Shape, TrainingStep

CPU = torch.device("cpu")
MIB = 2**20


@pytest.fixture(scope="module")
def found() -> Calibration:
    """Return what the command prints of this machine's CPU."""
    with redirect_stdout(StringIO()) as printed:
        assert main(["calibrate", "--device", "cpu", "--seconds", "2", "--json"]) == 0
    return Calibration.model_validate_json(printed.getvalue())


def test_the_command_prints_a_calibration_of_this_machine_as_json(found: Calibration) -> None:
    assert found.device.name == this_machine().name + MEASURED
    assert found.device.kind == "cpu"
    assert 1e8 < found.constants.fp32_flops_per_second < 1e14
    assert 1e8 < found.constants.bytes_per_second < 1e13
    assert 1e-7 < found.constants.launch_seconds < 1e-2
    assert found.versions["torch"] == torch.__version__


def test_the_figures_of_the_device_lead_back_to_what_was_measured(found: Calibration) -> None:
    expected = expected_constants(found.device)

    for name in ("fp32_flops_per_second", "bytes_per_second", "launch_seconds"):
        assert getattr(expected, name) == pytest.approx(getattr(found.constants, name))


def test_measured_constants_tell_a_step_of_another_model_better_than_a_factor_of_two(
    found: Calibration,
) -> None:
    other = TrainingStep(Shape(width=192, layers=3, rows=4, length=96), CPU)

    said = step_seconds(other.work(), found.constants)

    assert 0.5 < said / fastest(other.take, CPU, seconds=1.0) < 2


@pytest.mark.parametrize("shape", [NARROW, STEPS["cpu"][0]], ids=["narrow", "wider"])
def test_the_work_of_a_step_has_the_products_of_its_model(shape: Shape) -> None:
    step = TrainingStep(shape, CPU)

    work = step.work()

    heads = shape.width // 32
    attention = (2 + 2 * max(1, heads // 2) / heads) * shape.width**2
    mlp = 3 * shape.width * (11 * shape.width // 4)
    weights = shape.layers * (attention + mlp) + 1024 * shape.width
    least = 6 * shape.rows * shape.length * weights  # without those of queries and keys
    assert least <= work.count_G @ work.flops_G < 1.1 * least
    assert set(work.phase_G.tolist()) == {0, 1, 2}


def test_an_action_that_takes_longer_measures_longer() -> None:
    vector = torch.ones(10_000)

    once = fastest(lambda: vector.exp(), CPU, seconds=0.1)
    often = fastest(lambda: [vector.exp() for _ in range(10)], CPU, seconds=0.1)

    assert 3 < often / once < 30


def test_the_time_given_is_about_the_time_taken() -> None:
    begin = time.monotonic()

    fastest(lambda: torch.ones(10), CPU, seconds=0.3)

    assert 0.3 <= time.monotonic() - begin < 3


def test_rates_are_positive_for_the_smallest_of_times() -> None:
    assert product_rate(CPU, torch.float32, seconds=0.01) > 1e7
    assert addition_rate(CPU, MIB, seconds=0.01) > 1e7


@pytest.mark.parametrize("seconds", [0.0, -1.0, 601.0, float("nan")])
def test_absurd_times_are_refused(seconds: float) -> None:
    with pytest.raises(InvalidRequest, match="seconds must be from 1 to 600"):
        calibrate("cpu", seconds=seconds)


def test_an_unknown_device_is_refused_with_one_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["calibrate", "--device", "tpu"]) == 2

    assert "device must be auto, cpu or cuda" in capsys.readouterr().err


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_is_measured_and_tells_a_step_of_another_model() -> None:
    found = calibrate("cuda", seconds=20.0)
    cuda = torch.device("cuda")
    other = TrainingStep(
        Shape(width=1536, layers=4, rows=4, length=512, dtype=torch.bfloat16), cuda
    )

    said = step_seconds(other.work(), found.constants)

    assert found.device.kind == "cuda"
    assert found.constants.bf16_flops_per_second > found.constants.fp32_flops_per_second
    assert np.log(said / fastest(other.take, cuda, seconds=1.0)) == pytest.approx(0, abs=0.3)
