"""The searches by themselves, on functions whose lowest point is known."""

import numpy as np
import pytest

from training_worker.derivative_free.cma import CovarianceMatrixAdaptation
from training_worker.derivative_free.fireworks import Fireworks

SEARCHERS = [CovarianceMatrixAdaptation, Fireworks]
POPULATION = 20


def sphere(x_PD: np.ndarray) -> np.ndarray:
    return ((x_PD - 1.0) ** 2).sum(axis=1)


def rosenbrock(x_PD: np.ndarray) -> np.ndarray:
    steep = 100 * (x_PD[:, 1:] - x_PD[:, :-1] ** 2) ** 2
    return (steep + (1 - x_PD[:, :-1]) ** 2).sum(axis=1)


def search(searcher, function, *, calls: int) -> list[float]:
    """Search and return the best loss after each population."""
    found = []
    for _ in range(calls // POPULATION):
        candidates_PD = searcher.ask()
        searcher.tell(candidates_PD, function(candidates_PD))
        found.append(searcher.best[1])
    return found


@pytest.mark.parametrize("make", SEARCHERS)
@pytest.mark.parametrize(
    ("function", "dimension", "bound"), [(sphere, 20, 1e-3), (rosenbrock, 10, 10.0)]
)
def test_it_comes_near_the_lowest_point(make, function, dimension, bound) -> None:
    searcher = make(dimension, population=POPULATION, sigma=0.5, seed=1)

    found = search(searcher, function, calls=20_000)

    assert found[-1] < bound
    assert function(searcher.best[0][None])[0] == pytest.approx(searcher.best[1])
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize("make", SEARCHERS)
@pytest.mark.parametrize("population", [4, 9, 20, 64])
def test_as_many_candidates_are_asked_for_as_it_is_said(make, population) -> None:
    searcher = make(8, population=population, sigma=0.5, seed=0)

    for _ in range(3):
        candidates_PD = searcher.ask()
        assert candidates_PD.shape == (population, 8)
        searcher.tell(candidates_PD, sphere(candidates_PD))


@pytest.mark.parametrize("make", SEARCHERS)
def test_the_first_candidates_spread_as_far_as_it_is_said(make) -> None:
    candidates_PD = make(2000, population=64, sigma=0.3, seed=0).ask()

    moved = candidates_PD[candidates_PD != 0]
    # Fireworks other than the core are as far off as the core's sparks, and so are their sparks.
    assert 0.28 < float(moved.std()) < (0.32 if make is not Fireworks else 0.45)


@pytest.mark.parametrize("make", SEARCHERS)
def test_a_seed_gives_the_same_whatever_else_draws_numbers(make) -> None:
    vectors = []
    for noise in (1, 2):
        np.random.seed(noise)  # the shared numbers are what it must not read
        searcher = make(6, population=8, sigma=0.5, seed=3)
        before = np.random.get_state()[1].copy()
        search(searcher, sphere, calls=400)
        assert np.array_equal(np.random.get_state()[1], before)
        vectors.append(searcher.best[0])
    other = make(6, population=8, sigma=0.5, seed=4)
    search(other, sphere, calls=400)

    assert np.array_equal(*vectors)
    assert not np.array_equal(vectors[0], other.best[0])


@pytest.mark.parametrize("make", SEARCHERS)
def test_a_search_goes_on_from_its_state(make) -> None:
    whole, first = (make(6, population=POPULATION, sigma=0.5, seed=5) for _ in range(2))
    search(first, sphere, calls=200)
    second = make(6, population=POPULATION, sigma=0.5, seed=6)

    second.load_state_dict(first.state_dict())

    assert search(second, sphere, calls=200) == search(whole, sphere, calls=400)[10:]


@pytest.mark.parametrize("make", SEARCHERS)
def test_losses_that_are_no_numbers_are_the_worst(make) -> None:
    def broken(x_PD: np.ndarray) -> np.ndarray:
        return np.where(x_PD[:, 0] > 0, np.nan, sphere(-x_PD))

    searcher = make(5, population=POPULATION, sigma=0.5, seed=0)

    search(searcher, broken, calls=4000)

    assert searcher.best[1] < 0.1


def test_the_core_is_asked_for_again_and_its_new_loss_believed() -> None:
    searcher = Fireworks(4, population=POPULATION, sigma=0.5, seed=0)
    search(searcher, sphere, calls=200)
    core_D, loss = searcher.best
    candidates_PD = searcher.ask()
    assert np.array_equal(candidates_PD[0], core_D)

    searcher.tell(candidates_PD, np.full(POPULATION, loss + 5.0))

    assert searcher.best[1] == pytest.approx(loss + 5.0)
