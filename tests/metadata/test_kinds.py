"""Kinds of question restrict what regret is among."""

from types import ModuleType

import numpy as np
import pytest

from metadata.evaluation import evaluate
from metadata.kinds import Kind, restrict
from metadata.records import Run
from metadata.table import Table, build_table


@pytest.fixture(scope="module")
def runs(world: ModuleType) -> list[Run]:
    made: list[Run] = world.make_runs(datasets=5, sizes=(60,), extras=2)
    return made


@pytest.fixture(scope="module")
def table(runs: list[Run]) -> Table:
    return build_table(runs)


def test_with_all_allowed_nothing_changes(table: Table) -> None:
    assert restrict(table, "free") is table


@pytest.mark.parametrize("kind", ["memory", "time"])
def test_only_the_cheaper_half_of_each_pair_has_a_regret(table: Table, kind: Kind) -> None:
    name = {"memory": "peak_tensor_bytes", "time": "train_cpu_seconds"}[kind]
    found = restrict(table, kind)

    for pair in range(len(table.tasks)):
        core = np.flatnonzero((table.pair_N == pair) & table.core_N)
        costs = np.array([min(getattr(r.costs, name) for r in table.rows[n]) for n in core])
        allowed = costs <= np.median(costs)
        assert np.array_equal(np.isfinite(found.regret_N[core]), allowed)
        assert found.regret_N[core][allowed].min() == 0
        best = table.score_N[core][allowed].max()
        assert found.spread_P[pair] == best - np.median(table.score_N[core][allowed])


def test_adapters_alone_are_compared_with_each_other(runs: list[Run]) -> None:
    winner = max((run for run in runs if run.core and run.score), key=lambda run: run.score or 0)
    full = winner.configuration.model_copy(
        update={"method": winner.configuration.method.model_validate({"name": "full"})}
    )
    best = winner.model_copy(update={"id": "full", "configuration": full})
    table = build_table([*runs, best])

    found = restrict(table, "peft")

    is_full = np.array([one.method.name == "full" for one in table.configurations])
    assert np.isnan(found.regret_N[is_full]).all()
    assert (found.regret_N[~is_full] >= 0).any()


def test_a_kind_is_played_through_the_whole_protocol(runs: list[Run]) -> None:
    result = evaluate(runs, kinds=["memory"], draws=50)["memory"]

    assert result.datasets == 5
    assert result.by_dataset["ours"].shape == (5, 5)
    assert result.regret["random"][1] > result.regret["portfolio"][1]
