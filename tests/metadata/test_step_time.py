"""Seconds of a step: bound by arithmetic, by memory or by the host, and fitted with caution."""

from collections.abc import Sequence

import numpy as np
import pytest

from metadata.arrays import Floats
from metadata.errors import TooFewRuns
from metadata.features.device import find_device
from metadata.simulated import Operation, Phase
from metadata.step_time import (
    FITTED,
    LARGEST_FACTOR,
    STARTS,
    DeviceConstants,
    Work,
    expected_constants,
    fit_constants,
    step_seconds,
    work_of_operations,
)

GPU = DeviceConstants(
    bf16_flops_per_second=1e14,
    fp32_flops_per_second=1e13,
    cached_bytes_per_second=2e12,
    launch_seconds=1e-5,
    bytes_per_second=1e12,
    cache_bytes=10**8,
    starts_ahead=True,
)
CPU = GPU.model_copy(update={"starts_ahead": False})


def operation(
    *, phase: Phase = "forward", dtype: str = "bfloat16", count: int = 1, **costs: int
) -> Operation:
    whole = {"flops": 0, "bytes_moved": 0} | costs
    return Operation(name="mm", phase=phase, dtype=dtype, count=count, **whole)


def work(*operations: Operation) -> Work:
    return work_of_operations(operations)


@pytest.mark.parametrize(
    ("done", "seconds"),
    [
        (operation(flops=10**13), 0.1),
        (operation(flops=10**13, dtype="float32"), 1.0),
        (operation(bytes_moved=10**11 + 10**8), 0.1 + 0.5e-4),
        (operation(bytes_moved=10**8, count=1000), 1000 * 0.5e-4),
        (operation(flops=10**13, bytes_moved=10**11), 0.1),
        (operation(count=10_000), 10_000 * STARTS["forward"] * 1e-5),
        (operation(count=10_000, phase="backward"), 10_000 * STARTS["backward"] * 1e-5),
    ],
    ids=["bf16", "fp32", "memory", "cache", "more of two", "forward", "backward"],
)
def test_a_step_takes_as_long_as_what_binds_it(done: Operation, seconds: float) -> None:
    assert step_seconds(work(done), GPU) == pytest.approx(seconds, rel=1e-3)


def test_a_gpu_works_while_the_host_starts_more_and_a_cpu_does_not() -> None:
    done = work(operation(flops=10**12, count=10, dtype="bfloat16"))
    starting = 10 * STARTS["forward"] * 1e-5

    assert step_seconds(done, GPU) == pytest.approx(0.1)
    assert step_seconds(done, CPU) == pytest.approx(0.1 + starting)


def test_a_phase_that_waits_for_the_host_is_not_made_up_for_by_a_later_one() -> None:
    waiting = operation(count=10_000)
    working = operation(flops=10**13, phase="backward")

    together = step_seconds(work(waiting, working), GPU)

    assert together == pytest.approx(10_000 * STARTS["forward"] * 1e-5 + 0.1)


def steps(rng: np.random.Generator, count: int) -> list[Work]:
    """Return steps of which some are bound by each constant."""
    return [
        work(
            operation(flops=int(rng.uniform(1, 9) * 1e12)),
            operation(flops=int(rng.uniform(0, 9) * 1e11), dtype="float32"),
            operation(bytes_moved=10**8, count=int(rng.uniform(1, 2000)), phase="backward"),
            operation(count=int(rng.uniform(10, 30_000))),
        )
        for _ in range(count)
    ]


def errors(constants: DeviceConstants, works: Sequence[Work]) -> Floats:
    said = np.array([step_seconds(one, constants) for one in works])
    true = np.array([step_seconds(one, TRUE) for one in works])
    errors_R: Floats = np.abs(np.log(said / true))
    return errors_R


TRUE = GPU.at(GPU.logs + np.log([1.6, 0.6, 1.4, 1.8]))


def test_constants_come_back_from_measured_steps() -> None:
    rng = np.random.default_rng(0)
    works = steps(rng, 60)
    seconds = [step_seconds(one, TRUE) * np.exp(rng.normal(0, 0.03)) for one in works]

    fitted = fit_constants(works, seconds, expected=GPU)

    assert np.exp(fitted.logs - TRUE.logs) == pytest.approx(np.ones(len(FITTED)), rel=0.1)
    unseen = steps(rng, 30)
    assert errors(fitted, unseen).mean() < 0.05 < errors(GPU, unseen).mean()


def test_a_few_absurd_measurements_among_many_change_next_to_nothing() -> None:
    rng = np.random.default_rng(1)
    works = steps(rng, 40)
    seconds = [step_seconds(one, TRUE) for one in works]
    wrong = [100 * value if row < 4 else value for row, value in enumerate(seconds)]

    fitted = fit_constants(works, wrong, expected=GPU)

    assert errors(fitted, steps(rng, 30)).mean() < 0.05


@pytest.mark.parametrize("factor", [1e-6, 0.01, 0.3, 3.0, 100.0, 1e6])
def test_one_measurement_moves_no_forecast_by_more_than_a_factor_of_two(factor: float) -> None:
    works = steps(np.random.default_rng(2), 20)

    for one in works:
        fitted = fit_constants([one], [factor * step_seconds(one, GPU)], expected=GPU)

        moved = [step_seconds(other, fitted) / step_seconds(other, GPU) for other in works]
        assert min(moved) > 0.5
        assert max(moved) < 2


def test_many_measurements_that_agree_are_believed() -> None:
    works = steps(np.random.default_rng(3), 40)
    seconds = [3 * step_seconds(one, GPU) for one in works]

    fitted = fit_constants(works, seconds, expected=GPU)

    said = [step_seconds(one, fitted) for one in works]
    assert said == pytest.approx(seconds, rel=0.1)


def test_no_constant_leaves_its_limits_whatever_is_measured() -> None:
    works = steps(np.random.default_rng(4), 40)

    fitted = fit_constants(works, [1000 * step_seconds(one, GPU) for one in works], expected=GPU)

    assert np.abs(fitted.logs - GPU.logs).max() <= np.log(LARGEST_FACTOR) * 1.0001


def test_what_no_step_depends_on_stays_as_expected() -> None:
    works = [work(operation(flops=10**12 * size)) for size in range(1, 20)]

    fitted = fit_constants(works, [2 * step_seconds(one, GPU) for one in works], expected=GPU)

    assert fitted.bf16_flops_per_second == pytest.approx(0.5e14, rel=0.05)
    assert fitted.fp32_flops_per_second == pytest.approx(1e13)
    assert fitted.launch_seconds == pytest.approx(1e-5)


def test_no_measurement_at_all_is_refused() -> None:
    with pytest.raises(TooFewRuns, match="needs a measured step, got none"):
        fit_constants([], [], expected=GPU)


def test_constants_are_expected_below_the_data_sheet() -> None:
    device = find_device("NVIDIA L40S")

    expected = expected_constants(device)

    assert 0.3 < expected.bf16_flops_per_second / 362e12 < 0.7
    assert 0.3 < expected.fp32_flops_per_second / 91.6e12 < 0.7
    assert 0.7 < expected.bytes_per_second / 864e9 < 1
    assert expected.cache_bytes == 96 * 2**20
