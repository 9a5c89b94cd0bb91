"""Seconds of training: the footprint's formula times what past runs say it misses."""

from metadata.surrogates.residual import Quantity, cost_spec

# From a data sheet alone a step can take about three times what its figures allow: fine-tuning
# reaches 30 % to 60 % of the peak FLOP/s, and small steps are bound by launches, which no data
# sheet states.
UNKNOWN_FACTOR = 3.0

TRAIN_SECONDS = Quantity(
    name="time",
    title="training time",
    predicts="seconds",
    formula=lambda planned: planned.train_seconds,
    true=lambda costs: costs.train_seconds,
    unknown_factor=UNKNOWN_FACTOR,
)
SPEC = cost_spec(TRAIN_SECONDS)
