"""What players have found once so much time is spent."""

import numpy as np
import pytest

from metadata.players import Round
from metadata.spending import BUDGETS, best_within, spend

GAME = Round(
    regret_K=np.array([0.5, 0.2, 0.9, 0.0]),
    mean_K=np.array([0.1, 0.2, 0.3, 0.4]),
    portfolio=np.array([3, 1, 0]),
    ours=np.array([1, 0, 3]),
    firsts={"default": 2},
    cost_K=np.array([0.5, 2.0, 1.0, 6.0]),
)


def test_what_does_not_fit_is_passed_over_and_what_follows_is_tried() -> None:
    found = best_within(GAME, [3, 1, 0, 2], (1, 2, 3, 8))

    # 1: only column 0 (0.5); 2: column 1 fits alone; 3: columns 1 and 0; 8: columns 3 and 1.
    assert found.tolist() == [0.5, 0.2, 0.2, 0.0]


def test_nothing_found_is_as_bad_as_a_failure() -> None:
    assert best_within(GAME, [3], (1,)).tolist() == [2.0]


def test_each_player_goes_by_its_own_list() -> None:
    found = spend(GAME)

    assert list(found) == ["random", "default", "best_average", "portfolio", "ours"]
    assert found["default"][0] == pytest.approx(0.9)  # the default takes all of the first budget
    assert found["ours"][BUDGETS.index(2)] == 0.2
    assert found["portfolio"][BUDGETS.index(8)] == 0.0
    assert (np.diff(found["random"]) <= 0).all()


def test_without_costs_there_is_nothing_to_tell() -> None:
    without = Round(
        regret_K=GAME.regret_K, mean_K=GAME.mean_K, portfolio=GAME.portfolio, ours=GAME.ours
    )

    assert spend(without) == {}
