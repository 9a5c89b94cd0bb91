"""How good would each of several base models be, once trained on all of the data?

From losses at two training sizes or more, by the rectified scaling law, whose shape is believed
to be like those of published fits as far as the losses leave it open. One size alone is taken as it
is, and so is the largest where losses rise by more than the law may be off. Losses are nats per
byte, since nats per token of other tokenizers do not compare; of DPO they are nats per pair, for
which neither shape nor intervals were measured.

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

Basis = Literal["law", "one_size", "largest_size"]
# Factor within which 90 % of forecasts lie, less 1, by x factors of ten between the largest size
# seen and the one asked: FLOOR + a x^2 + 1.645 misfits (1 + x) for a law, FLOOR + b x for one size,
# whose loss only falls with more examples. Held by `benchmarks/model_outlook.py` on the tables of
# linhaowei1/Fine-tuning-Scaling-Law (Apache-2.0); without misfits from seven sizes 76 % lay within.
FLOOR, OF_LAW, OF_ONE_SIZE = 0.03, 0.14, 0.8
OF_MISFIT = 1.645  # 90 % of a normal error, in its root mean squares
# Relative, of a loss around its law. Fits are ten times closer, but a few small sizes tell the
# shape badly: with .01 the picks on these tables were worse.
NOISE = 0.1
MOST_MISFIT = NOISE  # where losses rise; the worst on these tables, that fall, is .041


@dataclass(frozen=True, kw_only=True)
class Observed:
    """The loss in nats per byte, or of DPO per pair, after training on so many examples."""

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
    rise = float((losses / np.minimum.accumulate(losses)).max())
    if law is None or (rise > 1.0 and law.error > MOST_MISFIT):
        return _at_largest(losses, rise=rise, ahead=ahead)
    loss = law.loss(examples)
    factor = 1.0 + FLOOR + OF_LAW * ahead**2 + OF_MISFIT * law.error * (1.0 + ahead)
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


def _at_largest(losses: Floats, *, rise: float, ahead: float) -> Outlook:
    """Take the loss at the largest size, off by as much as losses rose with more examples."""
    loss = float(losses[-1])
    return Outlook(
        loss=loss,
        low=loss / rise / (1.0 + FLOOR + OF_ONE_SIZE * ahead),
        high=loss * rise * (1.0 + FLOOR),
        basis="one_size" if len(losses) == 1 else "largest_size",
        law=None,
    )


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
