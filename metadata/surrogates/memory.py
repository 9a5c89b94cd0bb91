"""Bytes of live tensors at the peak: the footprint's formula times what past runs say it misses."""

from metadata.surrogates.residual import Quantity, cost_spec

# Which tensors live hangs little on the device, but kernels differ in what they keep: the formula
# misses some real runs on an unfamiliar device by up to a fifth.
UNKNOWN_FACTOR = 1.2

PEAK_BYTES = Quantity(
    name="memory",
    title="peak memory",
    predicts="bytes",
    formula=lambda planned: planned.peak_bytes,
    true=lambda costs, device: costs.peak_tensor_bytes,
    unknown_factor=UNKNOWN_FACTOR,
    least=lambda planned: planned.weights_bytes,
)
SPEC = cost_spec(PEAK_BYTES)
