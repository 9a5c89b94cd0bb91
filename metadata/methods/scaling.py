"""Learnt vectors that multiply activations."""

from metadata.architectures import Linear
from metadata.methods.spec import MethodSpec
from metadata.parameters import Values
from metadata.records import ModelProfile

FEEDFORWARD = frozenset({"gate", "up", "gate_up", "down"})


def count_ia3(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> int:
    """Count one scale per output of attention maps and per input of feed-forward maps."""
    del values
    scales = (t.d_in if t.role in FEEDFORWARD else t.d_out for t in targets)
    return model.layers * sum(scales)


def keep_ia3(values: Values, linear: Linear) -> float:
    """Keep what the scale multiplies."""
    del values
    return linear.d_in if linear.role in FEEDFORWARD else linear.d_out


def share_ia3(values: Values, linear: Linear) -> float:
    """Share the input that a feed-forward map scales."""
    del values
    return linear.d_in if linear.role in FEEDFORWARD else 0.0


IA3 = MethodSpec(
    name="ia3",
    title="IA3",
    target="peft.IA3Config",
    trainable=count_ia3,
    activation_floats=keep_ia3,
    shared_floats=share_ia3,
    operations=10,
    rate_factor=10.0,
    rate_source="arXiv:2205.05638 trains at 3e-3 where LoRA takes 3e-4",
    undecayed=("ia3_l",),
    quantizations=("int8", "nf4"),
    paper="arXiv:2205.05638",
)
ENTRIES = (IA3,)
