"""Every entry of the surrogate table keeps its promise in a world whose rule is known."""

from collections.abc import Sequence
from types import ModuleType

import numpy as np
import pytest

from metadata.arrays import Floats
from metadata.errors import TooFewRuns
from metadata.footprint import plan
from metadata.records import Run
from metadata.surrogates import SURROGATES
from metadata.surrogates.spec import Candidates, State, SurrogateSpec, gather
from metadata.table import Table, build_table, without_groups

pytestmark = [
    pytest.mark.parametrize("spec", SURROGATES.values(), ids=lambda spec: spec.name),
]


@pytest.fixture(scope="module")
def table(world: ModuleType) -> Table:
    return build_table(world.make_runs(datasets=9, extras=3))


@pytest.fixture(scope="module")
def known(table: Table) -> Table:
    return without_groups(table, [0])


@pytest.fixture(scope="module")
def held_out(table: Table) -> list[Run]:
    """Core runs of a dataset that no surrogate here has seen, at its larger size."""
    return [
        run
        for run in table.runs
        if run.task.dataset.group == table.groups[0]
        and run.task.dataset.examples == 1000
        and run.core
        and run.configuration.seed == 0
    ]


def candidates_of(runs: Sequence[Run]) -> Candidates:
    task = runs[0].task
    configurations = [run.configuration for run in runs]
    return gather(task, configurations, [plan(one, task) for one in configurations])


def truth_of(spec: SurrogateSpec, runs: Sequence[Run], table: Table) -> Floats:
    if spec.predicts == "regret":
        regret = {row[0].id: table.regret_N[n] for n, row in enumerate(table.rows)}
        regret |= {run.id: regret[row[0].id] for row in table.rows for run in row}
        return np.array([regret[run.id] for run in runs])
    if spec.predicts == "nats":
        return np.array([run.scores.forgotten for run in runs if run.scores is not None])
    costs = [run.costs for run in runs if run.costs is not None]
    if spec.predicts == "seconds":
        return np.array([one.train_seconds for one in costs])
    return np.array([float(one.peak_tensor_bytes) for one in costs])


def test_forecast_has_a_value_and_an_interval_around_it_for_each_candidate(
    spec: SurrogateSpec, known: Table, held_out: list[Run]
) -> None:
    said = spec.fit(known, 0).forecast(candidates_of(held_out))

    assert said.expected_C.shape == (len(held_out),)
    assert np.isfinite(said.expected_C).all()
    assert (said.low_C <= said.expected_C).all()
    assert (said.expected_C <= said.high_C).all()
    assert (said.high_C > said.low_C).any()


def test_same_runs_and_seed_say_the_same(
    spec: SurrogateSpec, known: Table, held_out: list[Run]
) -> None:
    candidates = candidates_of(held_out)

    first, second = (spec.fit(known, 7).forecast(candidates) for _ in range(2))

    assert np.array_equal(first.expected_C, second.expected_C)
    assert np.array_equal(first.high_C, second.high_C)


def test_restored_from_its_state_it_says_the_same(
    spec: SurrogateSpec, known: Table, held_out: list[Run]
) -> None:
    candidates = candidates_of(held_out)
    fitted = spec.fit(known, 0)
    state = fitted.state()

    restored = spec.restore(
        State(values=dict(state.values), arrays=dict(state.arrays), texts=state.texts)
    )

    before, after = fitted.forecast(candidates), restored.forecast(candidates)
    assert np.array_equal(before.expected_C, after.expected_C)
    assert np.array_equal(before.low_C, after.low_C)


def test_it_beats_the_mean_on_data_left_out(
    spec: SurrogateSpec, known: Table, table: Table, held_out: list[Run]
) -> None:
    true_C = truth_of(spec, held_out, table)
    seen = [run for run in known.runs if run.state == "succeeded" and run.core]
    usual = float(np.mean(truth_of(spec, seen, table)))

    said = spec.fit(known, 0).forecast(candidates_of(held_out))

    assert np.abs(said.expected_C - true_C).mean() < np.abs(usual - true_C).mean()


def test_too_few_runs_are_refused_with_what_is_needed(
    spec: SurrogateSpec, world: ModuleType
) -> None:
    few = build_table(world.make_runs(datasets=1, sizes=(60,), extras=0)[:7])

    with pytest.raises(TooFewRuns, match="at least"):
        spec.fit(few, 0)
