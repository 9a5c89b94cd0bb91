import numpy as np
import pytest
from scipy.optimize import least_squares

from metadata.errors import TooFewRuns
from metadata.rectified_law import RectifiedLaw, fit_rectified_law

SIZES_S = 200.0 * 2.0 ** np.arange(14)
LAW = RectifiedLaw(
    scale=300.0, transition_examples=40_000.0, exponent=0.5, floor=0.8, error=0.0
)  # 2.3 before training, 0.99 after 1.6 M examples


def test_constants_of_an_exact_law_come_back() -> None:
    fitted = fit_rectified_law(SIZES_S, np.array([LAW.loss(size) for size in SIZES_S]))

    assert fitted.exponent == pytest.approx(LAW.exponent, rel=1e-3)
    assert fitted.transition_examples == pytest.approx(LAW.transition_examples, rel=1e-2)
    assert fitted.floor == pytest.approx(LAW.floor, rel=1e-2)
    assert fitted.scale == pytest.approx(LAW.scale, rel=1e-2)
    assert fitted.error < 1e-5


@pytest.mark.parametrize("seed", range(4))
def test_a_noisy_table_is_fitted_as_well_as_by_a_solver_from_many_starts(seed: int) -> None:
    noise_S = np.random.default_rng(seed).normal(0, 0.01, len(SIZES_S))
    loss_S = np.array([LAW.loss(size) for size in SIZES_S]) * (1 + noise_S)

    def residual(constants: np.ndarray) -> np.ndarray:
        log_scale, log_transition, exponent, floor = constants
        sum_S = np.logaddexp(exponent * log_transition, exponent * np.log(SIZES_S))
        return (np.exp(log_scale - sum_S) + floor) / loss_S - 1

    ends = ([-10, 0, 0.02, 0], [60, np.log(1e9), 2, 5])
    starts = [
        (np.log(2) + exponent * log_transition, log_transition, exponent, 0.5)
        for exponent in (0.2, 0.5, 0.9)
        for log_transition in (4.0, 10.0)
    ]
    solved = min(least_squares(residual, start, bounds=ends).cost for start in starts)

    least_error = np.sqrt(2 * solved / len(SIZES_S))
    assert fit_rectified_law(SIZES_S, loss_S).error <= 1.001 * least_error


def test_a_flat_table_is_its_floor() -> None:
    fitted = fit_rectified_law(SIZES_S, np.full(len(SIZES_S), 1.5))

    assert fitted.loss(1e4) == pytest.approx(1.5, rel=1e-6)


def test_four_sizes_are_too_few() -> None:
    with pytest.raises(TooFewRuns, match="5 training sizes, got 4"):
        fit_rectified_law(SIZES_S[:4], np.ones(4))
