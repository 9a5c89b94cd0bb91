"""Training of the weights of norms."""

from metadata.architectures import Linear, norm_weights
from metadata.methods.spec import MethodSpec
from metadata.parameters import Values
from metadata.records import ModelProfile

AFTER_NORM = frozenset({"q", "qkv", "gate", "gate_up"})


def count_norms(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> int:
    """Count the norms of all layers, also of queries and keys, and the one after the last layer."""
    del values, targets
    return norm_weights(model)


def keep_normalised(values: Values, linear: Linear) -> float:
    """Keep, once for the linears that read it, what the norm's weight scales."""
    del values
    return linear.d_in if linear.role in AFTER_NORM else 0.0


LN_TUNING = MethodSpec(
    name="ln_tuning",
    title="LayerNorm tuning",
    target="peft.LNTuningConfig",
    given={"target_modules": "norms"},
    injector="training_worker.tuners.norms.add_norms",
    trainable=count_norms,
    activation_floats=keep_normalised,
    operations=8,
    rate_factor=10.0,
    rate_source="our choice: that of other methods that scale activations",
    uses_target_modules=False,
    undecayed=("ln_tuning_layers",),
    no_lora="it scales activations between the linear maps",
    quantizations=("int8", "nf4"),
    paper="arXiv:2312.11420",
)
ENTRIES = (LN_TUNING,)
