"""Lists from scenarios: the greedy portfolio, weights, and the one-standard-error rule."""

from itertools import combinations

import numpy as np
import pytest

from metadata.surrogates.scenarios import (
    balance,
    best_so_far,
    choose,
    fill,
    greedy,
    steadied,
)

RNG = np.random.default_rng(3)
REGRET_TC = RNG.uniform(0, 2, size=(30, 9))
EVEN_T = np.full(30, 1 / 30)


def test_each_greedy_entry_lowers_the_mean_of_the_best_the_most() -> None:
    order = greedy(REGRET_TC, EVEN_T, count=4).tolist()

    for length in range(1, 5):
        costs = {
            other: REGRET_TC[:, [*order[: length - 1], other]].min(axis=1).mean()
            for other in range(9)
            if other not in order[: length - 1]
        }
        assert order[length - 1] == min(costs, key=lambda one: costs[one])


def test_a_greedy_pair_is_near_the_best_pair_of_all() -> None:
    best = min(REGRET_TC[:, list(two)].min(axis=1).mean() for two in combinations(range(9), 2))

    found = REGRET_TC[:, greedy(REGRET_TC, EVEN_T, count=2)].min(axis=1).mean()

    assert found <= 1.2 * best


def test_entries_that_add_nothing_come_by_their_mean() -> None:
    scenario_TC = np.array([[0.0, 0.9, 0.5], [0.0, 0.7, 0.5]])

    assert greedy(scenario_TC, np.full(2, 0.5), count=3).tolist() == [0, 2, 1]


def test_only_allowed_candidates_are_picked() -> None:
    allowed_C = np.arange(9) % 2 == 0

    assert set(greedy(REGRET_TC, EVEN_T, count=9, allowed_C=allowed_C)) == {0, 2, 4, 6, 8}


def test_a_constant_added_to_all_changes_no_list() -> None:
    order = greedy(REGRET_TC, EVEN_T, count=9)

    assert np.array_equal(order, greedy(REGRET_TC - 5.0, EVEN_T, count=9))


def test_the_first_may_be_picked_by_something_else_and_the_others_complement_it() -> None:
    first_C = np.zeros(9)
    first_C[4] = -1.0

    order = greedy(REGRET_TC, EVEN_T, count=3, first_C=first_C)

    best_T = np.minimum(REGRET_TC[:, [4]], REGRET_TC)
    assert order[0] == 4
    assert EVEN_T @ best_T[:, order[1]] == pytest.approx((EVEN_T @ best_T).min())


def test_losses_beyond_the_most_a_list_is_taken_to_have_do_not_count() -> None:
    scenario_TC = np.array([[2.0, 1.1, 2.0], [0.8, 0.8, 0.3]])
    first_C = np.array([0.0, 9.0, 9.0])

    assert greedy(scenario_TC, np.full(2, 0.5), count=2, first_C=first_C).tolist() == [0, 1]
    assert greedy(scenario_TC, np.full(2, 0.5), count=2, first_C=first_C, most=1.0).tolist() == [
        0,
        2,
    ]


def test_what_was_best_on_average_stays_first_unless_another_is_better_by_a_margin() -> None:
    mean_C, known_C = np.array([0.1, 0.3, 0.2]), np.array([False, True, True])
    near_C, far_C = np.array([0.4, 0.26, 0.30]), np.array([0.4, 0.24, 0.30])

    firsts = [np.argmin(steadied(one, mean_C, known_C, by=0.05)) for one in (near_C, far_C)]

    assert firsts == [2, 1]
    assert near_C[2] == 0.30
    assert np.array_equal(steadied(near_C, mean_C, known_C & False, by=0.05), near_C)


def test_datasets_weigh_alike_however_many_pairs_they_have() -> None:
    assert balance(np.array([4, 4, 4, 7])) == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])


def test_gaps_are_filled_by_the_mean_of_their_candidate() -> None:
    regret_TC = np.array([[0.0, np.nan], [1.0, 0.4], [np.nan, 0.8]])

    filled_TC = fill(regret_TC, np.full(3, 1 / 3))

    assert filled_TC == pytest.approx(np.array([[0.0, 0.6], [1.0, 0.4], [0.5, 0.8]]))


def test_the_best_so_far_never_rises_and_short_lists_end_with_their_best() -> None:
    found = best_so_far(np.array([0.5, 0.9, 0.1]), [1, 0, 2], (1, 2, 4, 8))

    assert found.tolist() == [0.9, 0.5, 0.1, 0.1]


def test_a_gain_within_one_standard_error_is_no_reason_to_leave_the_portfolio() -> None:
    noise_G = np.random.default_rng(0).normal(0, 0.3, size=20)
    loss_SG = np.stack([np.full(20, 0.3), 0.3 - 0.01 + noise_G - noise_G.mean()])

    assert choose(loss_SG) == 0


def test_a_gain_on_every_dataset_is() -> None:
    loss_SG = np.stack([np.linspace(0.2, 0.5, 20), np.linspace(0.1, 0.4, 20)])

    assert choose(loss_SG) == 1


def test_of_equally_good_settings_the_simplest_is_chosen() -> None:
    losing, good = np.full(10, 0.5), np.full(10, 0.1)

    assert choose(np.stack([losing, good, good])) == 1
