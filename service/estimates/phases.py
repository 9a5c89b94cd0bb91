"""The memory of one step by phase and kind, from the footprint's totals."""

from collections.abc import Mapping

from metadata.footprint import Footprint
from metadata.simulated import PHASES, Kind, Peak, Phase


def phases(needs: Footprint, *, accumulates: bool) -> Mapping[Phase, Peak]:
    """Return what is held at the peak of each phase; the largest is the footprint's own peak.

    Weights and state are always there. The forward pass ends with activations and logits, and with
    the gradients of earlier micro-batches where it accumulates; the backward pass holds activations
    and gradients; the optimizer gradients and a copy that it works on. Where activations live only
    while one layer is worked on, a phase is cut to the peak.

    Args:
        needs: The footprint of one micro-batch.
        accumulates: Whether gradients of earlier micro-batches are there.
    """
    gradients, working = needs.gradient_bytes, needs.activation_bytes
    held: Mapping[Phase, Mapping[Kind, int]] = {
        "forward": {
            "gradients": gradients if accumulates else 0,
            "activations": working,
            "logits": needs.logits_bytes,
        },
        "backward": {"gradients": gradients, "activations": working, "logits": 0},
        "optimizer": {"gradients": gradients, "activations": gradients, "logits": 0},
    }
    return {phase: _peak(needs, held[phase]) for phase in PHASES}


def _peak(needs: Footprint, held: Mapping[Kind, int]) -> Peak:
    room = needs.peak_bytes - needs.weights_bytes - needs.state_bytes
    others = held["gradients"] + held["logits"]
    bytes_of: dict[Kind, int] = {
        "weights": needs.weights_bytes,
        "gradients": held["gradients"],
        "state": needs.state_bytes,
        "activations": max(0, min(held["activations"], room - others)),
        "logits": held["logits"],
    }
    return Peak(peak_bytes=sum(bytes_of.values()), bytes_of=bytes_of)
