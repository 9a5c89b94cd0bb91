"""Costs: what the formula misses is learnt where there are runs, and only there."""

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from metadata.errors import TooFewRuns
from metadata.features.device import MEASURED
from metadata.footprint import plan
from metadata.records import Device, Task
from metadata.surrogates import SURROGATES
from metadata.surrogates.memory import PEAK_BYTES
from metadata.surrogates.residual import CostSurrogate, fit_residual, observations_of
from metadata.surrogates.spec import Candidates, gather
from metadata.surrogates.time import TRAIN_SECONDS, UNKNOWN_FACTOR, alone_seconds
from metadata.table import Table, build_table

L40S = Device(
    name="NVIDIA L40S",
    kind="cuda",
    memory_bytes=48 * 10**9,
    bf16_tflops=362,
    bandwidth_gb_per_second=864,
    launch_microseconds=8,
)


@pytest.fixture(scope="module")
def table(world: ModuleType) -> Table:
    return build_table(world.make_runs(datasets=8, extras=4))


@pytest.fixture(scope="module")
def time(table: Table) -> CostSurrogate:
    return fit_residual(observations_of(table, TRAIN_SECONDS), TRAIN_SECONDS)


def candidates_on(task: Task, world: ModuleType) -> Candidates:
    configurations = world.core_configurations(task)
    return gather(task, configurations, [plan(one, task) for one in configurations])


def test_a_device_that_is_slower_than_its_formula_is_learnt(
    time: CostSurrogate, world: ModuleType
) -> None:
    candidates = candidates_on(world.make_task(20, 1000), world)
    formula_C = np.array([one.train_seconds for one in candidates.plans])

    said = time.forecast(candidates)

    assert said.expected_C / formula_C == pytest.approx(world.TIME_FACTOR, rel=0.15)
    assert (said.low_C < world.TIME_FACTOR * formula_C).all()
    assert (world.TIME_FACTOR * formula_C < said.high_C).all()


def test_a_kind_of_device_never_seen_gets_the_formula_and_a_wide_interval(
    time: CostSurrogate, world: ModuleType
) -> None:
    task = world.make_task(20, 1000).model_copy(update={"device": L40S})
    candidates = candidates_on(task, world)

    said = time.forecast(candidates)

    formula_C = [one.train_seconds for one in candidates.plans]
    assert said.expected_C == pytest.approx(formula_C)
    assert (said.high_C >= UNKNOWN_FACTOR * said.expected_C).all()
    assert (said.low_C <= said.expected_C / UNKNOWN_FACTOR).all()


def test_another_device_of_a_known_kind_is_less_certain_than_the_known_one(
    time: CostSurrogate, world: ModuleType
) -> None:
    task = world.make_task(20, 1000)
    other = task.model_copy(update={"device": task.device.model_copy(update={"name": "other"})})

    known, unknown = (time.forecast(candidates_on(one, world)) for one in (task, other))

    widths = [said.high_C / said.low_C for said in (known, unknown)]
    assert widths[1] == pytest.approx(widths[0] * UNKNOWN_FACTOR)


def test_one_absurd_run_on_a_new_device_changes_its_forecast_by_little(
    table: Table, time: CostSurrogate, world: ModuleType
) -> None:
    task = world.make_task(20, 1000)
    device = task.device.model_copy(update={"name": "other"})
    run = next(run for run in table.runs if run.state == "succeeded" and run.costs is not None)
    assert run.costs is not None
    absurd = run.model_copy(
        update={
            "id": "absurd",
            "task": run.task.model_copy(update={"device": device}),
            "costs": run.costs.model_copy(update={"train_seconds": 1e9, "train_cpu_seconds": 1e9}),
        }
    )

    learnt = fit_residual(
        observations_of(build_table([*table.runs, absurd]), TRAIN_SECONDS), TRAIN_SECONDS
    )

    there = candidates_on(task.model_copy(update={"device": device}), world)
    ratio_C = learnt.forecast(there).expected_C / time.forecast(there).expected_C
    assert np.abs(np.log(ratio_C)).max() < np.log(1.5)


def test_what_runs_taught_of_data_sheets_does_not_hold_for_a_measured_device(
    table: Table, world: ModuleType
) -> None:
    law = world.TIME_FACTOR
    task = world.make_task(20, 1000)
    measured = task.device.model_copy(
        update={
            "name": task.device.name + MEASURED,
            "bf16_tflops": task.device.bf16_tflops / law,
            "bandwidth_gb_per_second": task.device.bandwidth_gb_per_second / law,
            "launch_microseconds": task.device.launch_microseconds * law,
        }
    )
    candidates = candidates_on(task.model_copy(update={"device": measured}), world)

    said = fit_residual(observations_of(table, TRAIN_SECONDS), TRAIN_SECONDS).forecast(candidates)

    formula_C = [one.train_seconds for one in candidates.plans]
    assert said.expected_C == pytest.approx(formula_C, rel=0.15)


def test_a_model_a_thousand_times_larger_gets_the_formula(
    time: CostSurrogate, world: ModuleType
) -> None:
    model = world.MODEL.model_copy(update={"id": "large", "parameters": 1_400_000_000})
    candidates = candidates_on(world.make_task(20, 1000, model=model), world)

    said = time.forecast(candidates)

    assert said.expected_C == pytest.approx([one.train_seconds for one in candidates.plans])


def test_time_spent_waiting_for_a_shared_processor_does_not_count(table: Table) -> None:
    run = next(run for run in table.runs if run.costs is not None)
    assert run.costs is not None
    waited = run.costs.model_copy(update={"train_seconds": 3 * run.costs.train_cpu_seconds})
    threads = run.costs.model_copy(update={"train_cpu_seconds": 4 * run.costs.train_seconds})

    for costs in (waited, threads):
        assert alone_seconds(costs, run.task.device) == run.costs.train_seconds
    assert alone_seconds(waited, L40S) == waited.train_seconds


def test_memory_is_learnt_to_a_few_percent(table: Table, world: ModuleType) -> None:
    candidates = candidates_on(world.make_task(20, 60), world)

    said = SURROGATES["memory"].fit(table, 0).forecast(candidates)

    true_C = world.MEMORY_FACTOR * np.array([one.peak_bytes for one in candidates.plans])
    assert said.expected_C == pytest.approx(true_C, rel=0.06)
    assert (said.high_C / said.low_C < 1.3).all()


def test_no_forecast_of_memory_lies_below_the_weights(table: Table, world: ModuleType) -> None:
    memory = fit_residual(observations_of(table, PEAK_BYTES), PEAK_BYTES)
    wide = replace(memory, values={**memory.values, "tails": [-9.0, 9.0]})
    candidates = candidates_on(world.make_task(20, 1000), world)

    said = wide.forecast(candidates)

    assert said.low_C.tolist() == [one.weights_bytes for one in candidates.plans]


def test_intervals_hold_nine_of_ten_runs_of_datasets_left_out(table: Table) -> None:
    seen = observations_of(table, PEAK_BYTES)
    group_M = np.array(seen.groups)
    held = seen.take(np.flatnonzero(group_M == table.groups[0]))

    fitted = fit_residual(seen.take(np.flatnonzero(group_M != table.groups[0])), PEAK_BYTES)
    said = fitted.predict(held)

    true_M = held.formula_M * np.exp(held.log_ratio_M)
    inside = (said.low_C <= true_M) & (true_M <= said.high_C)
    assert 0.8 <= inside.mean() <= 1.0


def test_failed_runs_and_runs_without_costs_are_left_out(table: Table) -> None:
    finished = [run for run in table.runs if run.state == "succeeded"]

    assert len(observations_of(table, TRAIN_SECONDS).formula_M) == len(finished)


def test_fewer_than_ten_runs_are_refused(table: Table) -> None:
    few = observations_of(table, TRAIN_SECONDS).take(np.arange(9))

    with pytest.raises(TooFewRuns, match=r"at least 10 finished runs.*got 9"):
        fit_residual(few, TRAIN_SECONDS)
