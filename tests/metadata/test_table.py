"""Runs become arrays: same configurations found, regrets scaled, useless pairs left out."""

from collections.abc import Sequence
from types import ModuleType

import numpy as np
import pytest

from metadata.errors import TooFewRuns
from metadata.priors import carry_over
from metadata.records import Configuration, Objective, Run, Scores, Task
from metadata.relative import relative_key
from metadata.table import Table, build_table, without_groups


def scored(run: Run, gain: float) -> Run:
    scores = Scores(base_loss=4.0, best_loss=4.0 - gain, last_loss=4.0 - gain)
    return run.model_copy(update={"scores": scores, "state": "succeeded"})


def failed(run: Run, state: str) -> Run:
    return run.model_copy(update={"scores": None, "state": state})


@pytest.fixture(scope="module")
def task(world: ModuleType) -> Task:
    found: Task = world.make_task(0, 1000)
    return found


@pytest.fixture(scope="module")
def core(world: ModuleType, task: Task) -> list[Run]:
    """Nine core runs of one pair that gained 0.1, 0.2, ..., 0.9: the median is 0.5."""
    configurations = world.core_configurations(task)[:9]
    rng = np.random.default_rng(0)
    rule = world.Rule(rate=0.0, rank=4.0, losses={})
    return [
        scored(world.make_run(task, one, rule, rng=rng, core=True), 0.1 * place)
        for place, one in enumerate(configurations, start=1)
    ]


def again(run: Run, gain: float, *, seed: int) -> Run:
    configuration = run.configuration.model_copy(update={"seed": seed})
    changed = run.model_copy(update={"id": f"{run.id}-{seed}", "configuration": configuration})
    return scored(changed, gain)


def extra(run: Run, *, rank: int) -> Run:
    method = run.configuration.method.model_copy(update={"r": rank})
    configuration = run.configuration.model_copy(update={"method": method})
    changes = {"id": f"extra-{rank}", "configuration": configuration, "core": False}
    return run.model_copy(update=changes)


def regret_of(runs: Sequence[Run], configuration: Configuration) -> float:
    table = build_table(runs)
    row = next(n for n, one in enumerate(table.configurations) if one == configuration)
    return float(table.regret_N[row])


def test_regret_is_0_for_the_best_and_1_for_the_median(core: list[Run]) -> None:
    table = build_table(core)

    by_score = dict(zip(np.round(table.score_N, 9), table.regret_N, strict=True))
    assert by_score[0.9] == pytest.approx(0.0)
    assert by_score[0.5] == pytest.approx(1.0)
    assert by_score[0.7] == pytest.approx(0.5)
    assert by_score[0.1] == pytest.approx(2.0)


def test_regret_is_cut_at_0_and_2(core: list[Run]) -> None:
    better, worse = scored(extra(core[0], rank=3), 5.0), scored(extra(core[0], rank=5), -5.0)
    runs = [*core, better, worse]

    assert regret_of(runs, better.configuration) == 0.0
    assert regret_of(runs, worse.configuration) == 2.0


def test_runs_beyond_the_core_do_not_move_its_scale(core: list[Run]) -> None:
    before = build_table(core)

    after = build_table([*core, scored(extra(core[0], rank=3), 5.0)])

    assert after.spread_P == pytest.approx(before.spread_P)


def test_a_diverged_run_has_regret_2(core: list[Run]) -> None:
    diverged = failed(extra(core[0], rank=3), "diverged")

    assert regret_of([*core, diverged], diverged.configuration) == 2.0


@pytest.mark.parametrize("state", ["timed_out", "out_of_memory"])
def test_want_of_time_or_memory_counts_for_the_core_and_says_nothing_elsewhere(
    core: list[Run], state: str
) -> None:
    beyond = failed(extra(core[0], rank=3), state)
    short = failed(core[0], state)

    assert np.isnan(regret_of([*core, beyond], beyond.configuration))
    assert regret_of([short, *core[1:]], short.configuration) == 2.0


def test_repeats_are_one_row_of_their_mean(core: list[Run]) -> None:
    table = build_table([*core, again(core[6], 0.5, seed=1)])

    row = next(n for n, runs in enumerate(table.rows) if len(runs) == 2)
    assert len(table.rows) == len(core)
    assert table.score_N[row] == pytest.approx(0.6)


def test_a_repeat_that_failed_weighs_as_much_as_one_that_did_not(core: list[Run]) -> None:
    best = core[-1]
    broken = failed(again(best, 0.9, seed=1), "diverged")

    assert regret_of([*core, broken], best.configuration) == pytest.approx(1.0)


def test_a_pair_whose_spread_drowns_in_noise_is_dropped_and_listed(core: list[Run]) -> None:
    noisy = [again(run, run.score + 0.3, seed=1) for run in core if run.score is not None]

    table = build_table([*core, *noisy])

    assert len(table.usable) == 0
    assert "4 times" in table.dropped[0].reason


def test_a_pair_with_little_of_the_core_is_dropped(core: list[Run], world: ModuleType) -> None:
    other = world.make_task(1, 60)
    few = [
        run.model_copy(update={"task": other, "id": f"few-{place}"})
        for place, run in enumerate(core[:6])
    ]

    table = build_table([*core, *few])

    assert [one.dataset for one in table.dropped] == ["world-1"]
    assert "6 of 9" in table.dropped[0].reason


def test_one_run_of_a_user_on_a_new_pair_is_kept_without_a_regret(
    core: list[Run], world: ModuleType
) -> None:
    own = core[0].model_copy(update={"task": world.make_task(1, 60), "id": "own", "core": False})

    table = build_table([*core, own])

    assert len(table.rows) == len(core) + 1
    assert np.isnan(table.regret_N).sum() == 1
    assert table.dropped == ()


def test_the_order_of_runs_makes_no_difference(world: ModuleType) -> None:
    runs = world.make_runs(datasets=2, extras=2)

    forward, backward = build_table(runs), build_table(runs[::-1])

    assert forward.keys == backward.keys
    assert np.array_equal(forward.X_NF, backward.X_NF)
    assert np.array_equal(forward.regret_N, backward.regret_N)


def test_no_runs_are_refused_with_the_next_step() -> None:
    with pytest.raises(TooFewRuns, match=r"got 0.*campaign"):
        build_table([])


def test_a_configuration_carried_to_a_wider_model_keeps_its_key(
    world: ModuleType, task: Task
) -> None:
    wide = task.model.model_copy(update={"id": "wide", "hidden_size": 2048})
    for one in world.core_configurations(task):
        carried = carry_over(one, known=task.model, new=wide)

        assert relative_key(carried, wide) == relative_key(one, task.model)


def test_the_core_has_as_many_keys_as_configurations(world: ModuleType) -> None:
    table = build_table(world.make_runs(datasets=3, extras=0))

    assert len(table.core_keys) == 16
    assert table.core_regret.shape == (6, 16)
    assert np.isfinite(table.core_regret).all()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 7},
        {"max_length_tokens": 64},
        {"precision": "bf16"},
        {"loss_on": "all"},
        {"gradient_checkpointing": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_suits_data_or_device_leaves_the_key(
    core: list[Run], change: dict[str, object]
) -> None:
    one, model = core[0].configuration, core[0].task.model

    assert relative_key(one.model_copy(update=change), model) == relative_key(one, model)


@pytest.mark.parametrize(
    "change", [{"epochs": 9.0}, {"batch_size": 64}, {"target_modules": "qv"}, {"keep": "last"}]
)
def test_what_carries_over_changes_the_key(core: list[Run], change: dict[str, object]) -> None:
    one, model = core[0].configuration, core[0].task.model

    assert relative_key(one.model_copy(update=change), model) != relative_key(one, model)


def test_a_whole_number_and_its_fraction_are_one_value(core: list[Run]) -> None:
    one, model = core[0].configuration, core[0].task.model
    method = one.method.model_copy(update={"lora_dropout": 0})

    assert relative_key(one.model_copy(update={"method": method}), model) == relative_key(
        one, model
    )


def test_without_a_dataset_nothing_of_it_is_left(world: ModuleType) -> None:
    table = build_table(world.make_runs(datasets=3, extras=1))

    left = without_groups(table, [1])

    assert {run.task.dataset.group for run in left.runs} == {"world-00", "world-02"}
    assert set(left.group_P) == {0, 2}
    assert left.core_regret.shape == (4, 16)
    rows = np.flatnonzero(table.row_groups != 1)
    assert np.array_equal(left.regret_N, table.regret_N[rows])
    assert [row[0].id for row in left.rows] == [table.rows[row][0].id for row in rows]


def test_the_same_data_under_other_names_is_one_fold(world: ModuleType) -> None:
    runs = world.make_runs(datasets=3, extras=0)
    copies = [_renamed(run, number) for number in range(3) for run in runs if _is_first(run)]

    table = build_table([*runs, *copies])

    assert len(table.groups) == 3
    assert len(table.tasks) == len(build_table(runs).tasks)
    rest = without_groups(table, [int(table.group_P[_pair_of(table, "world-00")])])
    assert not any(_is_first(run) or run.id.startswith("copy") for run in rest.runs)


def _is_first(run: Run) -> bool:
    return run.task.dataset.group == "world-00"


def _renamed(run: Run, number: int) -> Run:
    name = f"a-copy-{number}"
    dataset = run.task.dataset.model_copy(update={"name": name, "group": name})
    task = run.task.model_copy(update={"dataset": dataset})
    return run.model_copy(update={"id": f"copy-{number}-{run.id}", "task": task})


def _pair_of(table: Table, group: str) -> int:
    shas = {run.task.dataset.sha256 for run in table.runs if run.task.dataset.group == group}
    return next(n for n, task in enumerate(table.tasks) if task.dataset.sha256 in shas)


def test_runs_of_another_objective_are_left_out(core: list[Run]) -> None:
    dpo = core[0].model_copy(update={"id": "dpo", "objective": Objective(name="dpo")})

    table = build_table([*core, dpo])

    assert table.runs == build_table(core).runs
    with pytest.raises(TooFewRuns, match="at least one supervised run"):
        build_table([dpo])
