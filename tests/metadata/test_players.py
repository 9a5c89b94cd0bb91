"""Players of leave-one-dataset-out."""

from itertools import combinations
from types import ModuleType

import numpy as np
import pytest

from metadata.players import (
    PLAYERS,
    Round,
    expected_least,
    nearest_configuration,
    play_default,
    play_width_rule,
)
from metadata.space import default_configuration, width_rule_configuration

REGRET_K = np.array([0.3, 1.2, 0.0, 0.7, 2.0, 0.9])


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_expected_least_is_the_mean_over_all_draws(count: int) -> None:
    draws = [min(draw) for draw in combinations(REGRET_K, count)]

    assert expected_least(REGRET_K, count) == pytest.approx(np.mean(draws))


def test_more_draws_than_there_are_see_everything() -> None:
    assert expected_least(REGRET_K, 16) == 0.0


@pytest.fixture
def game(world: ModuleType) -> Round:
    task = world.make_task(0, 60)
    configurations = tuple(world.core_configurations(task))
    regret_K = np.linspace(0.1, 1.9, len(configurations))
    order = np.arange(len(configurations))
    return Round(
        task=task,
        regret_K=regret_K,
        configurations=configurations,
        mean_K=regret_K[::-1],
        portfolio=order,
        ours=order[::-1],
    )


def test_default_and_width_rule_start_with_their_own_row_of_the_core(game: Round) -> None:
    default = game.configurations.index(default_configuration(game.task))
    rule = game.configurations.index(width_rule_configuration(game.task))

    assert play_default(game, (1,))[0] == game.regret_K[default]
    assert play_width_rule(game, (1,))[0] == game.regret_K[rule]


def test_default_goes_on_at_random(game: Round) -> None:
    first = game.configurations.index(default_configuration(game.task))
    others = np.delete(game.regret_K, first)
    expected = np.mean([min(game.regret_K[first], other) for other in others])

    assert play_default(game, (2,))[0] == pytest.approx(expected)


@pytest.mark.parametrize("name", PLAYERS)
def test_no_player_does_worse_with_more_runs_and_all_find_the_best_in_the_end(
    game: Round, name: str
) -> None:
    regret = PLAYERS[name](game, (1, 2, 4, 8, 16))

    assert (np.diff(regret) <= 1e-12).all()
    assert regret[-1] == pytest.approx(game.regret_K.min())


def test_the_nearest_configuration_has_the_same_method_and_the_nearest_rate(
    game: Round,
) -> None:
    wanted = default_configuration(game.task)
    others = [one for one in game.configurations if one != wanted]

    found = others[nearest_configuration(wanted, others)]

    assert found.method.name == "lora"
    assert found == width_rule_configuration(game.task) or found.optimizer.learning_rate == min(
        one.optimizer.learning_rate or 0.0 for one in others if one.method.name == "lora"
    )
