"""How test loss falls with the number of examples: the rectified scaling law.

L(D) = B / (D_l + D^beta) + E: flat at first, while D^beta is below what pretraining is worth (D_l),
a power law with exponent beta after that, at last the floor E.

Paper: Lin, Huang, Ye, ... "Selecting Large Language Model to Fine-tune via Rectified Scaling Law"
(ICML 2024, arXiv:2402.02314). They minimise a Huber loss of log loss by L-BFGS from many starts;
here B and E follow from beta and D_l by least squares of the relative error, so that a search over
the two that remain, on ever finer grids, finds the best without starts or chance.

Axes: S training sizes, G points of a grid.
"""

from dataclasses import dataclass

import numpy as np

from metadata.arrays import Floats
from metadata.errors import TooFewRuns

LEAST_SIZES = 5  # four constants, and one size that can disagree
LEAST_WITH_PRIOR = 2  # scale and floor
BETA = (0.02, 2.0)
TRANSITION = (1.0, 1e9)  # examples
GRID, ZOOMS, ZOOM_SHARE = 61, 6, 0.12


@dataclass(frozen=True, kw_only=True)
class RectifiedLaw:
    """A fitted law; `error` is the root mean square of the relative error of the sizes fitted."""

    scale: float
    transition_examples: float
    exponent: float
    floor: float
    error: float

    def loss(self, examples: float) -> float:
        """Return the loss expected after training on so many examples."""
        prelearned = self.transition_examples**self.exponent
        return self.scale / float(prelearned + examples**self.exponent) + self.floor


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What is believed of exponent and log of the transition before any loss of a model is seen.

    Attributes:
        mean: Of the two.
        spread: Their standard deviations.
        noise: Relative standard deviation of a loss around the law.
    """

    mean: tuple[float, float]
    spread: tuple[float, float]
    noise: float


def fit_rectified_law(
    examples_S: Floats, loss_S: Floats, *, prior: Shape | None = None
) -> RectifiedLaw:
    """Return the law closest to losses at several training sizes, all above 0.

    With a prior it is the most probable one, from two sizes on.

    Raises:
        TooFewRuns: There are fewer than five sizes, or two with a prior.
    """
    least = LEAST_SIZES if prior is None else LEAST_WITH_PRIOR
    if len(examples_S) < least:
        raise TooFewRuns(
            f"The rectified law needs losses at {least} training sizes, got "
            f"{len(examples_S)}. Add runs with other numbers of examples."
        )
    centre = np.array([np.mean(BETA), np.mean(np.log(TRANSITION))])
    half = np.array([np.ptp(BETA), np.ptp(np.log(TRANSITION))]) / 2
    for _ in range(ZOOMS):
        centre = _best_of_grid(centre, half, examples_S, loss_S, prior)
        half = half * ZOOM_SHARE
    exponent, log_transition = centre
    scale_G, floor_G, error_G = _rest(centre[:1], centre[1:], examples_S, loss_S)
    return RectifiedLaw(
        scale=float(scale_G[0]),
        transition_examples=float(np.exp(log_transition)),
        exponent=float(exponent),
        floor=float(floor_G[0]),
        error=float(error_G[0]),
    )


def _best_of_grid(
    centre: Floats, half: Floats, examples_S: Floats, loss_S: Floats, prior: Shape | None
) -> Floats:
    """Return exponent and log of the transition with the least error around a centre."""
    steps = np.linspace(-1, 1, GRID)
    betas = np.clip(centre[0] + half[0] * steps, *BETA)
    transitions = np.clip(centre[1] + half[1] * steps, *np.log(TRANSITION))
    beta_G, transition_G = (part.ravel() for part in np.meshgrid(betas, transitions))
    misfit_G = _rest(beta_G, transition_G, examples_S, loss_S)[2]
    if prior is not None:
        misfit_G = len(examples_S) * (misfit_G / prior.noise) ** 2
        misfit_G += ((beta_G - prior.mean[0]) / prior.spread[0]) ** 2
        misfit_G += ((transition_G - prior.mean[1]) / prior.spread[1]) ** 2
    best = int(misfit_G.argmin())
    return np.array([beta_G[best], transition_G[best]])


def _rest(
    beta_G: Floats, transition_G: Floats, examples_S: Floats, loss_S: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return scale and floor, neither below 0, and the relative error, at each point of a grid."""
    log_sum_GS = np.logaddexp(
        (beta_G * transition_G)[:, None], beta_G[:, None] * np.log(examples_S)
    )
    shift_G = log_sum_GS.min(axis=1)  # the scale is put back below: large exponents overflow
    falling_GS = np.exp(shift_G[:, None] - log_sum_GS) / loss_S
    flat_S = 1 / loss_S
    falling_2, flat_2 = (falling_GS**2).sum(axis=1), float((flat_S**2).sum())
    mixed_G = falling_GS @ flat_S
    falling_1, flat_1 = falling_GS.sum(axis=1), float(flat_S.sum())
    determinant_G = np.maximum(falling_2 * flat_2 - mixed_G**2, 1e-12)
    floor_G = (falling_2 * flat_1 - mixed_G * falling_1) / determinant_G
    floor_G = np.clip(floor_G, 0, flat_1 / flat_2)
    scale_G = np.maximum(falling_1 - floor_G * mixed_G, 0) / falling_2
    residual_GS = scale_G[:, None] * falling_GS + floor_G[:, None] * flat_S - 1
    return scale_G * np.exp(shift_G), floor_G, np.sqrt((residual_GS**2).mean(axis=1))
