"""Intervals hold what they say, and distances know near from far."""

import numpy as np
import pytest

from metadata.surrogates.distance import distances_by
from metadata.surrogates.intervals import fit_errors, tails, tails_of_groups


def test_a_dataset_that_is_there_many_times_changes_no_distance() -> None:
    rng = np.random.default_rng(5)
    known_TF, group_T = rng.normal(size=(12, 3)), np.arange(12) // 2
    names = ("log2_examples", "log2_parameters", "share")
    copied_T = np.concatenate([np.arange(12), np.repeat([0, 1], 40)])

    once = distances_by(names, known_TF, group_T)
    often = distances_by(names, known_TF[copied_T], group_T[copied_T])

    assert often.scale == pytest.approx(once.scale)
    assert (often.unit, often.limit) == pytest.approx((once.unit, once.limit))


def test_nine_of_ten_new_errors_lie_between_the_tails() -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(400):
        low, high = tails(rng.gamma(2.0, size=60))
        held.append(low <= rng.gamma(2.0) <= high)

    assert np.mean(held) == pytest.approx(0.9, abs=0.05)


def test_of_few_errors_the_ends_are_the_extremes() -> None:
    assert tails(np.array([3.0, -1.0, 2.0])) == (-1.0, 3.0)


def test_errors_of_a_new_group_lie_between_the_tails_where_groups_differ() -> None:
    rng = np.random.default_rng(4)
    held = []
    for _ in range(200):
        centre_G = rng.normal(size=25)
        errors = (centre_G[:, None] + rng.normal(0, 0.1, size=(25, 30))).ravel()
        low, high = tails_of_groups(errors, [str(group) for group in np.repeat(range(25), 30)])
        new = rng.normal() + rng.normal(0, 0.1, size=30)
        held.append(np.mean((low <= new) & (new <= high)))

    assert 0.88 <= np.mean(held) <= 0.97


def test_of_few_groups_the_ends_are_the_extremes() -> None:
    errors = np.array([1.0, 2.0, -3.0, 4.0])

    low, high = tails_of_groups(errors, ["a", "a", "b", "b"])

    assert low <= -3.0
    assert high >= 4.0


def test_where_errors_grow_with_the_forecast_so_do_intervals() -> None:
    rng = np.random.default_rng(1)
    forecast_N = rng.uniform(0, 2, size=2000)
    true_N = forecast_N + rng.normal(0, 0.05 + 0.3 * forecast_N)

    errors = fit_errors(true_N, forecast_N, rng.uniform(size=2000))
    low_C, high_C = errors.around(np.array([0.1, 1.9]), 0.0, widen=1.0)

    widths = high_C - low_C
    assert widths[1] > 3 * widths[0]


def test_intervals_widen_by_the_factor_they_are_given() -> None:
    rng = np.random.default_rng(1)
    errors = fit_errors(rng.normal(size=500), np.zeros(500), rng.uniform(size=500))

    once, twice = (errors.around(np.zeros(1), 0.0, widen=widen) for widen in (1.0, 2.0))

    assert twice[1] - twice[0] == pytest.approx(2 * (once[1] - once[0]))


NAMES = ("log2_examples", "has_probe", "duplicate_fraction")
KNOWN_TF = np.array([[5.0, 0, 0.0], [5.1, 0, 0.0], [8.0, 0, 0.0], [8.1, 0, 0.0], [11.0, 0, 0.0]])
DISTANCES = distances_by(NAMES, KNOWN_TF, np.array([0, 0, 1, 1, 2]))


def test_the_usual_distance_is_that_to_other_datasets() -> None:
    assert DISTANCES.usual.min() > 0.9


def test_probe_values_are_not_compared() -> None:
    plain, probed = np.array([5.0, 0, 0.0]), np.array([5.0, 1, 0.0])

    assert np.array_equal(DISTANCES.to_known(plain), DISTANCES.to_known(probed))


def test_a_feature_that_never_varied_has_a_finite_scale() -> None:
    strange = np.array([5.0, 0, 0.9])

    assert 1.0 < DISTANCES.to_known(strange).min() < 100.0


def test_trust_is_whole_among_the_known_and_nothing_far_off() -> None:
    assert DISTANCES.trust(DISTANCES.limit) == 1.0
    assert DISTANCES.trust(1.5 * DISTANCES.limit) == pytest.approx(0.5)
    assert DISTANCES.trust(2.0 * DISTANCES.limit) == 0.0


def test_excess_says_how_far_beyond_the_known_range_a_feature_is() -> None:
    assert DISTANCES.excess(np.array([13.0, 0, 0.0])).tolist() == [2.0, 0.0]
    assert DISTANCES.excess(np.array([4.0, 0, 0.25])).tolist() == [-1.0, 0.25]
    assert DISTANCES.excess(np.array([7.0, 0, 0.0])).tolist() == [0.0, 0.0]
