"""Players of leave-one-dataset-out."""

from itertools import combinations
from types import ModuleType

import numpy as np
import pytest

from metadata.players import (
    Round,
    expected_least,
    nearest_configuration,
    play_rule,
    players,
)
from metadata.records import Configuration, Task
from metadata.space import default_configuration, width_rule_configuration

PLAYERS = players(["default", "width_rule"])
REGRET_K = np.array([0.3, 1.2, 0.0, 0.7, 2.0, 0.9])


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_expected_least_is_the_mean_over_all_draws(count: int) -> None:
    draws = [min(draw) for draw in combinations(REGRET_K, count)]

    assert expected_least(REGRET_K, count) == pytest.approx(np.mean(draws))


def test_more_draws_than_there_are_see_everything() -> None:
    assert expected_least(REGRET_K, 16) == 0.0


@pytest.fixture
def task(world: ModuleType) -> Task:
    return world.make_task(0, 60)


@pytest.fixture
def configurations(world: ModuleType, task: Task) -> list[Configuration]:
    return list(world.core_configurations(task))


@pytest.fixture
def game(task: Task, configurations: list[Configuration]) -> Round:
    regret_K = np.linspace(0.1, 1.9, len(configurations))
    order = np.arange(len(configurations))
    wanted = {"default": default_configuration, "width_rule": width_rule_configuration}
    return Round(
        regret_K=regret_K,
        firsts={name: configurations.index(rule(task)) for name, rule in wanted.items()},
        mean_K=regret_K[::-1],
        portfolio=order,
        ours=order[::-1],
    )


@pytest.mark.parametrize("rule", ["default", "width_rule"])
def test_a_rule_starts_with_its_own_row_of_the_core(game: Round, rule: str) -> None:
    assert play_rule(game, (1,), rule=rule)[0] == game.regret_K[game.firsts[rule]]


def test_default_goes_on_at_random(game: Round) -> None:
    first = game.firsts["default"]
    others = np.delete(game.regret_K, first)
    expected = np.mean([min(game.regret_K[first], other) for other in others])

    assert play_rule(game, (2,), rule="default")[0] == pytest.approx(expected)


@pytest.mark.parametrize("name", PLAYERS)
def test_no_player_does_worse_with_more_runs_and_all_find_the_best_in_the_end(
    game: Round, name: str
) -> None:
    regret = PLAYERS[name](game, (1, 2, 4, 8, 16))

    assert (np.diff(regret) <= 1e-12).all()
    assert regret[-1] == pytest.approx(game.regret_K.min())


def test_the_nearest_configuration_has_the_same_method_and_the_nearest_rate(
    task: Task, configurations: list[Configuration]
) -> None:
    wanted = default_configuration(task)
    others = [one for one in configurations if one != wanted]

    found = others[nearest_configuration(wanted, others)]

    assert found.method.name == "lora"
    assert found == width_rule_configuration(task) or found.optimizer.learning_rate == min(
        one.optimizer.learning_rate or 0.0 for one in others if one.method.name == "lora"
    )
