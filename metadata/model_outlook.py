"""How good would each of several base models be, once trained on all of the data?

From losses at two training sizes or more, by the rectified scaling law, whose shape is believed
to be like those of published fits as far as the losses leave it open; one size alone is taken as
it is. Losses are nats per byte, since nats per token of other tokenizers do not compare.

Paper: Lin et al., arXiv:2402.02314.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import log10
from typing import Literal

import numpy as np

from metadata.arrays import Floats
from metadata.published import published
from metadata.rectified_law import LEAST_WITH_PRIOR, RectifiedLaw, Shape, fit_rectified_law

Basis = Literal["law", "one_size"]
# Factor within which 90 % of forecasts lie, less 1, by x factors of ten between the largest size
# seen and the one asked: FLOOR + a x^2 for a law, FLOOR + b x for one size, whose loss only falls
# with more examples. Held by `benchmarks/model_outlook.py` on the tables of
# linhaowei1/Fine-tuning-Scaling-Law (Apache-2.0).
FLOOR, OF_LAW, OF_ONE_SIZE = 0.03, 0.14, 0.8
# Relative, of a loss around its law. Fits are ten times closer, but a few small sizes tell the
# shape badly: with .01 the picks on these tables were worse.
NOISE = 0.1


@dataclass(frozen=True, kw_only=True)
class Observed:
    """The loss in nats per byte after training on so many examples."""

    examples: int
    loss: float


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """The loss expected at a training size, with its 90 % interval, and what it stands on."""

    loss: float
    low: float
    high: float
    basis: Basis
    law: RectifiedLaw | None


def outlook(seen: Sequence[Observed], *, examples: int) -> Outlook:
    """Return the loss expected after training on `examples`; of equal sizes the least counts.

    Raises:
        ValueError: Nothing was seen.
    """
    least = _least(seen)
    sizes = np.array(sorted(least), dtype=np.float64)
    losses = np.array([least[int(size)] for size in sizes])
    ahead = max(0.0, log10(examples / sizes[-1]))
    law = _law(sizes, losses)
    if law is None:
        loss = float(losses[-1])
        low, high = loss / (1.0 + FLOOR + OF_ONE_SIZE * ahead), loss * (1.0 + FLOOR)
        return Outlook(loss=loss, low=low, high=high, basis="one_size", law=None)
    loss, factor = law.loss(examples), 1.0 + FLOOR + OF_LAW * ahead**2
    return Outlook(loss=loss, low=loss / factor, high=loss * factor, basis="law", law=law)


def _least(seen: Sequence[Observed]) -> dict[int, float]:
    if not seen:
        raise ValueError("an outlook needs a loss at one training size at least")
    least: dict[int, float] = {}
    for one in seen:
        least[one.examples] = min(one.loss, least.get(one.examples, one.loss))
    return least


def _law(sizes: Floats, losses: Floats) -> RectifiedLaw | None:
    if len(sizes) < LEAST_WITH_PRIOR:
        return None
    return fit_rectified_law(sizes, losses, prior=published_shape())


@lru_cache(maxsize=4)
def published_shape(task: str | None = None) -> Shape:
    """Return what the published fits say of the shape, of one task or all."""
    exponents, transitions = (
        [one.value for one in published(name) if task is None or one.task == task]
        for name in ("scaling_exponent", "transition_examples")
    )
    log_transitions = np.log(transitions)
    return Shape(
        mean=(float(np.median(exponents)), float(np.median(log_transitions))),
        spread=(float(np.std(exponents)), float(np.std(log_transitions))),
        noise=NOISE,
    )
