"""How the learning rate moves after warm-up, as a multiple of its peak."""

from math import cos, pi

from metadata.optimizers.spec import ScheduleSpec
from metadata.parameters import Float, Values, number

COOLDOWN = Float(name="cooldown_fraction", lower=0.05, upper=0.5, default=0.2)


def linear(progress: float, values: Values) -> float:
    """Fall straight to 0."""
    del values
    return 1.0 - progress


def cosine(progress: float, values: Values) -> float:
    """Fall to 0 along half a cosine."""
    del values
    return 0.5 * (1.0 + cos(pi * progress))


def constant_with_cooldown(progress: float, values: Values) -> float:
    """Stay, then fall straight to 0 over the last part."""
    return min(1.0, (1.0 - progress) / number(values, "cooldown_fraction"))


def constant(progress: float, values: Values) -> float:
    """Stay."""
    del progress, values
    return 1.0


ENTRIES = (
    ScheduleSpec(name="linear", title="linear", multiplier=linear, paper="arXiv:2310.07831"),
    ScheduleSpec(name="cosine", title="cosine", multiplier=cosine, paper="arXiv:1608.03983"),
    ScheduleSpec(
        name="constant_with_cooldown",
        title="warm-up, stable, decay",
        parameters=(COOLDOWN,),
        multiplier=constant_with_cooldown,
        paper="arXiv:2404.06395",
    ),
    ScheduleSpec(
        name="constant",
        title="constant",
        multiplier=constant,
        ends_at=1.0,
        paper="arXiv:2405.15682",  # on doing without a schedule
    ),
)
