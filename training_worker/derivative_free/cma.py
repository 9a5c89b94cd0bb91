"""CMA-ES: candidates from a normal distribution that learns its mean, step and covariance.

Paper: Hansen and Ostermeier (2001); the computing is the `cma` library's. Axes: P candidates, D
dimensions.
"""

import warnings
from typing import Any

import numpy as np

from training_worker.derivative_free.searcher import WORST, Floats, comparable

with warnings.catch_warnings():
    # it tells on import that it cannot plot
    warnings.filterwarnings("ignore", message="Could not import matplotlib")
    from cma import CMAEvolutionStrategy


class _Normals:
    """Normal numbers of a search's own: by itself the library draws from numpy's shared ones."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def __call__(self, *shape: int) -> Floats:
        return self._rng.standard_normal(shape)


class CovarianceMatrixAdaptation:
    """A search that starts at 0, as `searcher.Searcher` says."""

    def __init__(self, dimension: int, *, population: int, sigma: float, seed: int) -> None:
        """Begin with so many candidates a time, drawn with the standard deviation `sigma`."""
        self._dimension, self._population, self._sigma = dimension, population, sigma
        self._seed, self._told = seed, list[Floats]()
        self._best: tuple[Floats, float] = (np.zeros(dimension), WORST)
        self._strategy = self._begun()

    @property
    def best(self) -> tuple[Floats, float]:
        """Return the vector of the lowest loss ever told, and that loss."""
        return self._best

    @property
    def favourite(self) -> Floats | None:
        """Return the mean of the distribution, better than its draws where dimensions are many."""
        return np.array(self._strategy.mean)

    def ask(self) -> Floats:
        """Return the next candidates, shape (P, D)."""
        return np.array(self._strategy.ask())

    def tell(self, candidates_PD: Floats, losses_P: Floats) -> None:
        """Learn from the losses of the candidates last asked for."""
        losses_P = comparable(losses_P)
        self._told.append(losses_P)
        self._strategy.tell(list(candidates_PD), list(losses_P))
        first = int(losses_P.argmin())
        if losses_P[first] < self._best[1]:
            self._best = candidates_PD[first].copy(), float(losses_P[first])

    def state_dict(self) -> dict[str, Any]:
        """Return all that the search goes on from: its seed, and every loss that it was told.

        The library keeps its state by pickling it, which no file that is read should hold.
        """
        return {"seed": self._seed, "told": list(self._told)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same settings: ask and be told all of it again."""
        zero_D = np.zeros(self._dimension)
        self._seed, self._told, self._best = state["seed"], [], (zero_D, WORST)
        self._strategy = self._begun()
        for losses_P in state["told"]:
            self.tell(self.ask(), losses_P)

    def _begun(self) -> CMAEvolutionStrategy:
        options = {
            "popsize": self._population,
            "randn": _Normals(self._seed),
            "seed": np.nan,  # leave numpy's shared numbers alone
            "verbose": -9,
        }
        return CMAEvolutionStrategy(np.zeros(self._dimension), self._sigma, options)
