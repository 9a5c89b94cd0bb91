"""The learnt list: the portfolio where nothing can be learnt, better where something can."""

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from metadata.held_out import described_rows, fit_proven, is_proven
from metadata.records import Task
from metadata.space import default_configuration, sample, width_rule_configuration
from metadata.surrogates.portfolio import Portfolio
from metadata.surrogates.quality import fit, restore
from metadata.surrogates.rehearsal import COUNTS
from metadata.surrogates.spec import gather
from metadata.surrogates.transfer import Quality, bounded
from metadata.table import Table, build_table


@pytest.fixture(scope="module")
def table(world: ModuleType) -> Table:
    return build_table(world.make_runs(datasets=10, extras=4))


@pytest.fixture(scope="module")
def quality(table: Table) -> Quality:
    return fit(table, 0)


@pytest.fixture(scope="module")
def task(world: ModuleType) -> Task:
    """A dataset that was never seen, of a kind that was."""
    found: Task = world.make_task(31, 60)
    return found


def test_with_nothing_believed_the_list_is_exactly_the_greedy_portfolio(
    table: Table, quality: Quality
) -> None:
    plain = believing(quality, 0.0)
    for pair in (0, 7):
        candidates = described_rows(table, table.core_rows[pair])

        picked = plain.pick(candidates, plain.look(candidates).expected, count=16)

        expected = Portfolio(scenarios=quality.scenarios).order(count=16)
        assert picked.tolist() == expected.tolist()


def test_where_tasks_differ_by_rule_the_learnt_list_wins(table: Table) -> None:
    proven, found = fit_proven(table, 0)

    at_1, free = COUNTS.index(1), found["free"]
    assert proven.view.trust > 0.5
    assert free.ours_GQ[:, at_1].mean() < 0.5 * free.portfolio_GQ[:, at_1].mean()


def test_where_nothing_can_be_learnt_it_begins_as_the_portfolio(world: ModuleType) -> None:
    for seed in (0, 3, 12):
        strange = build_table(world.make_runs(datasets=12, extras=1, learnable=False, seed=seed))

        proven, found = fit_proven(strange, 0)

        assert {view.trust for view in proven.views.values()} == {0.0}
        assert all((one.ours_GQ[:, 0] == one.portfolio_GQ[:, 0]).all() for one in found.values())


def test_far_from_all_that_is_known_nothing_beats_the_default_for_sure(quality: Quality) -> None:
    clear = np.array([0.0])

    near = float(quality.beats(clear, 2.0, 0.0)[0])
    far = float(quality.beats(clear, 2.0, 100 * quality.distances.limit)[0])

    assert near > 0.9
    assert 0.5 < far < 0.7


def test_a_gain_within_chance_proves_nothing() -> None:
    assert is_proven(np.array([0.10, 0.08, 0.12, 0.10]))
    assert not is_proven(np.array([0.40, -0.10, 0.05, -0.05]))
    assert not is_proven(np.zeros(4))


def test_a_core_configuration_is_worth_its_mean_where_tasks_weigh_alike(
    table: Table, quality: Quality, task: Task
) -> None:
    plain = believing(quality, 0.0)
    default = default_configuration(task)

    said = plain.forecast(gather(task, [default])).expected_C[0]

    column = quality.scenarios.keys.index(gather(task, [default]).keys[0])
    assert said == pytest.approx(table.core_regret[:, column].mean())


def test_far_from_all_tasks_the_model_is_not_believed_and_intervals_widen(
    quality: Quality, task: Task
) -> None:
    sure = believing(quality, 1.0)
    model = task.model.model_copy(
        update={"id": "huge", "parameters": 3_000_000_000, "hidden_size": 3072, "layers": 28}
    )
    huge = task.model_copy(update={"model": model})
    configurations = [default_configuration(task), *sample(task.model, count=5, rng=rng())]

    near = sure.look(gather(task, configurations))
    far = sure.look(gather(huge, configurations))

    assert np.abs(near.shift_C).max() > 0
    assert np.abs(far.shift_C).max() == 0
    assert far.weight_T == pytest.approx(np.full(20, 1 / 20))
    assert sure.widening(far.distance) > sure.widening(near.distance) == 1.0


def test_a_method_that_no_run_tried_is_not_expected_to_be_good(
    quality: Quality, task: Task
) -> None:
    unknown = replace(quality, tried=tuple(set(quality.tried) - {"lora"}))
    default = width_rule_configuration(task)
    lora = gather(task, [default.model_copy(update={"epochs": epochs}) for epochs in (2.5, 3.5)])

    assert unknown.forecast(lora).expected_C.min() > quality.forecast(lora).expected_C.min()
    assert np.abs(unknown.look(lora).shift_C).max() == 0


def test_what_diverges_is_expected_to_and_its_regret_may_be_the_worst(
    world: ModuleType, task: Task
) -> None:
    table = build_table(world.make_runs(datasets=12, extras=6))
    usual = width_rule_configuration(task)
    rate = 16 * float(usual.optimizer.learning_rate or 0.0)  # the world diverges from 11 times on
    optimizer = usual.optimizer.model_copy(update={"learning_rate": rate})
    both = gather(task, [usual, usual.model_copy(update={"optimizer": optimizer, "epochs": 4.0})])
    quality = fit(table, 0)

    safe, unsafe = quality.look(both).failure_C
    said = quality.forecast(both)

    assert table.failed_N.sum() > 5
    assert safe < 0.05 < 0.3 < unsafe
    assert said.high_C[1] == 2.0
    assert said.expected_C[1] >= 2.0 * unsafe - 1e-9
    restored = restore(quality.state()).look(both)
    assert restored.failure_C == pytest.approx([safe, unsafe])


def test_an_untried_configuration_must_be_better_by_what_is_not_known_of_it(
    quality: Quality, task: Task
) -> None:
    candidates = gather(
        task, [default_configuration(task), *sample(task.model, count=1, rng=rng())]
    )
    error = quality.view.outside.error

    slightly = quality.pick(candidates, np.array([0.5, 0.5 - 0.5 * error]), count=1)
    clearly = quality.pick(candidates, np.array([0.5, 0.5 - 2.0 * error]), count=1)

    assert (slightly.tolist(), clearly.tolist()) == ([0], [1])


def test_equal_configurations_beat_each_other_half_the_time_and_better_ones_more(
    quality: Quality,
) -> None:
    chance = quality.beats(np.array([0.1, 0.6, 1.1]), 0.6, 1.0)

    assert chance[1] == pytest.approx(0.5, abs=0.02)
    assert chance[0] > 0.6
    assert chance[2] < 0.4


def test_bounding_keeps_order_and_never_reaches_nothing() -> None:
    regret_C = np.array([-3.0, -0.2, 0.0, 0.04, 0.05, 0.7, 1.9, 5.0])

    found = bounded(regret_C)

    assert (np.diff(found) > 0).all()
    assert found[0] > 0
    assert found[-1] == 2.0
    assert found[5] == 0.7


def believing(quality: Quality, trust: float) -> Quality:
    return replace(quality, views={"free": replace(quality.view, trust=trust)})


def rng() -> np.random.Generator:
    return np.random.default_rng(11)
