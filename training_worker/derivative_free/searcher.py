"""What searches the vectors of one layer by their losses alone.

Axes: P candidates, D dimensions.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
WORST = 1e12  # what a loss that is no number counts as


class Searcher(Protocol):
    """Asked for candidates and told their losses, in turn; the same seed gives the same."""

    @property
    def best(self) -> tuple[Floats, float]:
        """Return the vector of the lowest loss ever told, and that loss."""

    @property
    def favourite(self) -> Floats | None:
        """Return a vector that is no candidate and promises more than they; None: there is none."""

    def ask(self) -> Floats:
        """Return the next candidates, shape (P, D)."""

    def tell(self, candidates_PD: Floats, losses_P: Floats) -> None:
        """Learn from the losses of the candidates last asked for."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that the search goes on from."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same settings."""


def comparable(losses_P: Floats) -> Floats:
    """Return losses that can be ordered: what is no number is worst."""
    return np.nan_to_num(losses_P, nan=WORST, posinf=WORST, neginf=WORST)
