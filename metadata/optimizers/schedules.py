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


ENTRIES = (
    ScheduleSpec(name="linear", title="linear", multiplier=linear),
    ScheduleSpec(name="cosine", title="cosine", multiplier=cosine),
    ScheduleSpec(
        name="constant_with_cooldown",
        title="constant with cooldown",
        parameters=(COOLDOWN,),
        multiplier=constant_with_cooldown,
    ),
)
