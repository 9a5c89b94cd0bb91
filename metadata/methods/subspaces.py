"""Training inside the space of a weight's singular vectors."""

from metadata.architectures import Linear
from metadata.elementwise import truncated
from metadata.methods.conditions import at_most_the_width, plain_linears
from metadata.methods.low_rank import count_lora, kept_mask
from metadata.methods.spec import MethodSpec
from metadata.parameters import Float, Integer, Values, number, whole
from metadata.records import ModelProfile

Targets = tuple[Linear, ...]


def count_psoft(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count the triangle of a rotation of the main singular vectors, and two scales of each."""
    rank = whole(values, "r")
    return model.layers * len(targets) * (rank * (rank - 1) // 2 + 2 * rank)


def freeze_psoft(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count the singular vectors, and rows and columns of the triangle, of eight bytes."""
    rank = whole(values, "r")
    indices = 2 * rank * (rank - 1) * model.layers * len(targets)
    return count_lora(values, targets, model) + indices


def keep_psoft(values: Values, linear: Linear) -> float:
    """Keep what A makes of the input, by which the rotation is learnt, and dropout's mask."""
    return kept_mask(values, linear, "psoft_dropout") + number(values, "r")


def count_osf(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count the singular vectors and values below the share that is preserved."""
    return model.layers * sum(_trained(values, t) * (t.d_in + t.d_out + 1) for t in targets)


def freeze_osf(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count these at their start, and the preserved vectors of the longer side."""
    preserved = sum(
        _preserved(values, t) * max(t.d_in, t.d_out) for t in targets if t.d_in != t.d_out
    )
    return count_osf(values, targets, model) + model.layers * preserved


def keep_osf(values: Values, linear: Linear) -> float:
    """Keep the input in fp32, and what the trained and the first vectors make of it."""
    return linear.d_in + 2 * _trained(values, linear)


def keep_input(values: Values, linear: Linear) -> float:
    """Share the input in fp32."""
    del values
    return linear.d_in


def rebuild_osf(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Keep the factors put together, of twice the trained rank, and the scaled vectors."""
    return model.layers * sum(2 * _trained(values, t) * (t.d_in + t.d_out) for t in targets)


def _preserved(values: Values, linear: Linear) -> int:
    return truncated(min(linear.d_in, linear.d_out) * number(values, "effective_rank"))


def _trained(values: Values, linear: Linear) -> int:
    return min(linear.d_in, linear.d_out) - _preserved(values, linear)


PSOFT = MethodSpec(
    name="psoft",
    title="PSOFT, orthogonal fine-tuning in the principal subspace",
    target="peft.PsoftConfig",
    parameters=(
        Integer(name="r", lower=4, upper=256, default=32, log=True),
        Float(name="psoft_dropout", lower=0.0, upper=0.3, default=0.0),
    ),
    trainable=count_psoft,
    frozen_numbers=freeze_psoft,
    activation_floats=keep_psoft,
    operations=70,
    rate_factor=4.0,
    rate_source="our choice: between OFT's and that of other methods with as few weights",
    conditions=(at_most_the_width("r"), plain_linears),
    undecayed=("vector_a", "vector_b"),
    no_lora="",
    paper="arXiv:2505.11235",
)
OSF = MethodSpec(
    name="osf",
    title="OSF, orthogonal subspace fine-tuning",
    target="peft.OSFConfig",
    parameters=(Float(name="effective_rank", lower=0.5, upper=0.99, default=0.9),),
    trainable=count_osf,
    frozen_numbers=freeze_osf,
    activation_floats=keep_osf,
    shared_floats=keep_input,
    step_floats=rebuild_osf,
    factor_products=2.0,  # trained ones and preserved ones, as many
    operations=46,
    weight_passes=4.0,
    needs_gradients=True,
    rate_factor=0.1,
    rate_source="our choice: full fine-tuning's, whose weights it has in another basis",
    conditions=(plain_linears,),
    undecayed=("osf_svd_params",),
    no_lora="its update has twice the trained rank",
    paper="arXiv:2504.07097",
)
ENTRIES = (PSOFT, OSF)
