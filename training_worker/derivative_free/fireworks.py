"""The dynamic fireworks algorithm: sparks around a few points, most and nearest around the best.

Papers: Tan and Zhu (2010), the algorithm; Zheng, Janecek and Tan (2013), its enhanced operators;
Zheng, Janecek, Li and Tan (2014), the amplitude of the core firework, dynFWA. Axes: F fireworks,
P candidates, D dimensions.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from training_worker.derivative_free.searcher import WORST, Floats, comparable

GROWTH, SHRINKAGE = 1.2, 0.9  # of the core's amplitude, by dynFWA: after a better spark, or none
CANDIDATES_A_FIREWORK = 10  # the papers have 5 fireworks and 150 sparks; ours are fewer
CANDIDATES_A_MUTATION = 20  # of 155 candidates the papers' 5 are Gaussian mutations
SMALLEST = 1e-12  # keeps shares of equal losses defined


@dataclass
class _State:
    fireworks_FD: Floats  # the core, the best of all, first
    losses_F: Floats
    amplitude: float  # of the core


class Fireworks:
    """A search that starts at 0, as `searcher.Searcher` says.

    The core is among the candidates each time, so that its loss is today's where a loss depends on
    what else moves; what the others' losses were is shifted by as much.
    """

    def __init__(self, dimension: int, *, population: int, sigma: float, seed: int) -> None:
        """Begin with so many candidates a time, whose standard deviation is `sigma` at first."""
        self._rng = np.random.default_rng(seed)
        self._widest = sqrt(3) * sigma  # uniform within it
        self._population = population
        self._mutations = max(1, population // CANDIDATES_A_MUTATION)
        count = max(2, population // CANDIDATES_A_FIREWORK)
        fireworks_FD = self._widest * self._rng.uniform(-1, 1, (count, dimension))
        fireworks_FD[0] = 0.0
        self._state = _State(fireworks_FD, np.full(count, WORST), self._widest)

    @property
    def best(self) -> tuple[Floats, float]:
        """Return the core firework and its loss when last told."""
        return self._state.fireworks_FD[0], float(self._state.losses_F[0])

    @property
    def favourite(self) -> Floats | None:
        """Return nothing: no vector is better than the candidates."""
        return None

    def ask(self) -> Floats:
        """Return the core, the sparks of all fireworks and mutations of the others, (P, D)."""
        state = self._state
        counts_F = self._counts(state.losses_F)
        amplitudes_F = self._amplitudes(state)
        parents = np.repeat(np.arange(len(counts_F)), counts_F)
        steps_PD = self._rng.uniform(-1, 1, (len(parents), state.fireworks_FD.shape[1]))
        steps_PD *= self._rng.random(steps_PD.shape) < 0.5  # each coordinate moves by a coin
        sparks_PD = state.fireworks_FD[parents] + amplitudes_F[parents, None] * steps_PD
        return np.vstack([state.fireworks_FD[:1], sparks_PD, self._mutated()])

    def tell(self, candidates_PD: Floats, losses_P: Floats) -> None:
        """Keep the best as the core and any of the rest as the others; move its amplitude."""
        state, losses_P = self._state, comparable(losses_P)
        others_F = self._refreshed(losses_P[0])
        first = int(losses_P.argmin())
        amplitude = state.amplitude * (GROWTH if first else SHRINKAGE)
        pool_PD = np.vstack([np.delete(candidates_PD, first, axis=0), state.fireworks_FD[1:]])
        pool_P = np.concatenate([np.delete(losses_P, first), others_F])
        kept = self._rng.choice(len(pool_P), size=len(others_F), replace=False)
        self._state = _State(
            np.vstack([candidates_PD[first : first + 1], pool_PD[kept]]),
            np.concatenate([losses_P[first : first + 1], pool_P[kept]]),
            amplitude,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return all that the search goes on from."""
        return {"rng": self._rng.bit_generator.state, **vars(self._state)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same settings."""
        kept = dict(state)
        self._rng.bit_generator.state = kept.pop("rng")
        self._state = _State(**kept)

    def _counts(self, losses_F: Floats) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return how many sparks each firework has, at least one, more the better it is."""
        sparks = self._population - 1 - self._mutations
        worth_F = losses_F.max() - losses_F + SMALLEST
        free = sparks - len(losses_F)
        ends_F = np.round(np.cumsum(worth_F / worth_F.sum()) * free).astype(np.int64)
        return np.diff(ends_F, prepend=0) + 1

    def _amplitudes(self, state: _State) -> Floats:
        """Return how far sparks go: the core's own, of the others more the worse they are."""
        excess_F = state.losses_F - state.losses_F.min() + SMALLEST
        amplitudes_F: Floats = self._widest * excess_F / excess_F.sum()
        amplitudes_F[0] = state.amplitude
        return amplitudes_F

    def _mutated(self) -> Floats:
        """Return Gaussian mutations: others stretched along their way to the core."""
        fireworks_FD = self._state.fireworks_FD
        chosen = self._rng.integers(1, len(fireworks_FD), self._mutations)
        factors_P = self._rng.standard_normal(self._mutations)[:, None]
        moves = self._rng.random((self._mutations, fireworks_FD.shape[1])) < 0.5
        way_PD = fireworks_FD[:1] - fireworks_FD[chosen]
        return fireworks_FD[chosen] + factors_P * way_PD * moves

    def _refreshed(self, core_loss: float) -> Floats:
        """Return the losses of the others, moved by as much as the core's was."""
        losses_F = self._state.losses_F
        known = losses_F[0] < WORST
        others_F: Floats = losses_F[1:] + (core_loss - losses_F[0] if known else 0.0)
        return others_F
