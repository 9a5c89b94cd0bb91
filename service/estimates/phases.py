"""The memory of one step by phase and kind, as the footprint has it."""

from collections.abc import Mapping

from metadata.footprint import Footprint, Held
from metadata.simulated import Kind, Peak, Phase


def phases(needs: Footprint) -> Mapping[Phase, Peak]:
    """Return what is held at the peak of each phase; the largest is the footprint's own peak."""
    return {phase: _peak(needs, held) for phase, held in needs.held.items()}


def _peak(needs: Footprint, held: Held) -> Peak:
    bytes_of: dict[Kind, int] = {
        "weights": needs.weights_bytes,
        "gradients": int(held.gradient_bytes),
        "state": needs.state_bytes,
        "activations": int(held.activation_bytes),
        "logits": int(held.logits_bytes),
    }
    return Peak(peak_bytes=sum(bytes_of.values()), bytes_of=bytes_of)
