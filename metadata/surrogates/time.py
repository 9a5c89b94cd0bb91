"""Seconds of training: the footprint's formula times what past runs say it misses."""

from metadata.records import Costs, Device
from metadata.surrogates.residual import Quantity, cost_spec

# From a data sheet alone a step can take about three times what its figures allow: fine-tuning
# reaches 30 % to 60 % of the peak FLOP/s, and small steps are bound by launches, which no data
# sheet states.
UNKNOWN_FACTOR = 3.0


def alone_seconds(costs: Costs, device: Device) -> float:
    """Return how long a run would have trained with its device to itself.

    On a processor that others use too, the clock runs on while a run waits; the seconds that it
    was computing do not, but count each thread. The smaller of the two is nearest.
    """
    if device.kind == "cpu" and costs.train_cpu_seconds > 0:
        return min(costs.train_seconds, costs.train_cpu_seconds)
    return costs.train_seconds


TRAIN_SECONDS = Quantity(
    name="time",
    title="training time",
    predicts="seconds",
    formula=lambda planned: planned.train_seconds,
    true=alone_seconds,
    unknown_factor=UNKNOWN_FACTOR,
)
SPEC = cost_spec(TRAIN_SECONDS)
