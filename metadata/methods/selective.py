"""Training of weights that the model already has, or of its biases."""

from metadata.architectures import Linear
from metadata.methods.spec import MethodSpec
from metadata.parameters import Values
from metadata.records import ModelProfile

AFTER_NORM = frozenset({"q", "qkv", "gate", "gate_up"})


# transformers builds a model from its config alone: what a merge adds is left out without an error
NEW_BIASES = "maps without a bias would need one, and models are loaded again without it"


def count_biases(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> int:
    """Count one bias per output; a linear without one is given a zero bias to train."""
    del values
    return model.layers * sum(linear.d_out for linear in targets)


def count_all(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> int:
    """Count every weight of the model."""
    del values, targets
    return model.parameters


def keep_nothing(values: Values, linear: Linear) -> float:
    """Keep nothing: the gradient of a bias needs no activation."""
    del values, linear
    return 0.0


def keep_input(values: Values, linear: Linear) -> float:
    """Keep the linear's input, and once for each norm before it what the norm's weight scales."""
    del values
    return linear.d_in * (2 if linear.role in AFTER_NORM else 1)


def share_input(values: Values, linear: Linear) -> float:
    """Share the input with the other linears that read it."""
    del values
    return linear.d_in


BITFIT = MethodSpec(
    name="bitfit",
    title="BitFit",
    target="training_worker.tuners.bitfit.BitFitConfig",
    trainable=count_biases,
    activation_floats=keep_nothing,
    operations=4,
    rate_factor=3.0,
    rate_source="arXiv:2106.10199 trains at 1e-4 to 1e-2, above full fine-tuning's rates",
    no_merge=NEW_BIASES,
    paper="arXiv:2106.10199",
)
FULL = MethodSpec(
    name="full",
    title="full fine-tuning",
    target="training_worker.adapter.train_everything",
    trainable=count_all,
    activation_floats=keep_input,
    shared_floats=share_input,
    operations=3,
    trains_base=True,
    rate_factor=0.1,
    rate_source="LoRA's best rate is about ten times full fine-tuning's "
    "(Schulman and Thinking Machines Lab, LoRA Without Regret, 2025)",
    uses_target_modules=False,
    paper="",
)
ENTRIES = (BITFIT, FULL)
