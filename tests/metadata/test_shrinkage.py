import numpy as np
import pytest

from metadata.surrogates.scenarios import balance
from metadata.surrogates.shrinkage import without_noise

PAIRS, CORE = 120, 24
NOISE = 0.2
EVEN_T = np.full(PAIRS, 1 / PAIRS)


def patterns(rng: np.random.Generator) -> np.ndarray:
    """Return regrets of two patterns over their means, without noise."""
    mean_K, sides_2K = rng.uniform(0.5, 1.5, CORE), rng.normal(0.0, 0.4, (2, CORE))
    return mean_K + rng.normal(size=(PAIRS, 2)) @ sides_2K


@pytest.mark.parametrize("seed", range(5))
def test_what_is_left_is_nearer_to_the_truth_than_what_was_seen(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true_TK = patterns(rng)
    seen_TK = true_TK + rng.normal(0.0, NOISE, true_TK.shape)

    missed = np.square(without_noise(seen_TK, EVEN_T) - true_TK).mean()

    assert missed < 0.25 * np.square(seen_TK - true_TK).mean()


def test_nothing_but_the_means_is_left_of_noise_alone() -> None:
    rng = np.random.default_rng(0)
    mean_K = rng.uniform(0.5, 1.5, CORE)
    seen_TK = mean_K + rng.normal(0.0, NOISE, (PAIRS, CORE))

    spread = (without_noise(seen_TK, EVEN_T) - EVEN_T @ seen_TK).std()

    assert spread < 0.4 * NOISE


def test_weighted_means_stay() -> None:
    rng = np.random.default_rng(1)
    weight_T = balance(rng.integers(0, 30, PAIRS))
    seen_TK = patterns(rng) + rng.normal(0.0, NOISE, (PAIRS, CORE))

    assert weight_T @ without_noise(seen_TK, weight_T) == pytest.approx(weight_T @ seen_TK)


def test_where_half_of_the_core_was_not_run_nothing_changes() -> None:
    seen_TK = patterns(np.random.default_rng(2))
    seen_TK[:, CORE // 2 - 1 :] = 0.7

    assert np.array_equal(without_noise(seen_TK, EVEN_T), seen_TK)
