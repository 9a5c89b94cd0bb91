"""Rotations of a linear's input or output, so that the angles between its rows stay."""

from metadata.architectures import Linear, weights_of
from metadata.elementwise import pick, where
from metadata.methods.conditions import plain_linears
from metadata.methods.spec import Fault, MethodSpec, in_place_of_the_base, one_copy
from metadata.parameters import Categorical, Values, number, whole
from metadata.records import ModelProfile

Targets = tuple[Linear, ...]
PARTS = {"road_1": 1, "road_2": 2, "road_4": 4}  # of an angle and a scale per pair of outputs
OFT_COPIES = 4  # of the blocks' entries: the skew matrix and its powers


def inputs_are_whole_blocks(values: Values, targets: Targets, model: ModelProfile) -> Fault | None:
    """The block size, doubled with each butterfly factor after the first, divides every input."""
    name = "oft_block_size" if "oft_block_size" in values else "boft_block_size"
    size = int(number(values, name)) * 2 ** (_factors(values) - 1)
    for linear in targets:
        if linear.d_in % size:
            doubled = ", doubled with each butterfly factor after the first," if size > 1 else ""
            return Fault(
                parameter=name,
                rule=f"the block size{doubled if _factors(values) > 1 else ''} must divide the "
                f"input width, as {linear.d_in} of {linear.name} of {model.id}",
                next_step="Choose smaller blocks or other target modules.",
            )
    return None


def count_oft(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count the upper triangle of each block's skew matrix; one block where it is shared."""
    block = whole(values, "oft_block_size")
    triangle = block * (block - 1) // 2
    blocks = sum(t.d_in // block for t in targets)
    return model.layers * triangle * where(values["block_share"], len(targets), blocks)


def index_oft(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count the rows and columns of a triangle, indices of eight bytes."""
    block = whole(values, "oft_block_size")
    return 2 * model.layers * block * (block - 1) * len(targets)


def rebuild_oft(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Keep the skew matrices, their powers and the rotations, all of the blocks."""
    block = whole(values, "oft_block_size")
    widths = sum(t.d_in for t in targets)
    shared = OFT_COPIES * len(targets) * block + widths
    return model.layers * block * where(values["block_share"], shared, OFT_COPIES * widths)


def count_boft(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count whole blocks of each factor, and one scale per output."""
    entries = _factors(values) * whole(values, "boft_block_size")
    d_in, d_out = sum(t.d_in for t in targets), sum(t.d_out for t in targets)
    return model.layers * (entries * d_in + d_out)


def permute_boft(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count the permutation matrices, one per factor."""
    return model.layers * _factors(values) * sum(t.d_in**2 for t in targets)


def keep_boft(values: Values, linear: Linear) -> float:
    """Keep the input, which the rotation multiplies, and the output, which the scale does."""
    del values
    return linear.d_in + linear.d_out


def rebuild_boft(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Keep two matrices of the input's width per factor: its own, and a product of factors."""
    return model.layers * 2 * _factors(values) * sum(t.d_in**2 for t in targets)


def hold_squares(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Hold three matrices of the input's width while what rotates the widest is multiplied."""
    del values, model
    return 3 * max((t.d_in**2 for t in targets), default=0)


def count_hra(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count one vector of the input's width per reflection."""
    return model.layers * whole(values, "r") * sum(t.d_in for t in targets)


def rebuild_hra(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Keep the new weight, and after each reflection a matrix of the input's width."""
    matrices = where(values["apply_GS"], 1, whole(values, "r") + 1)
    squares = model.layers * sum(t.d_in**2 for t in targets)
    return matrices * squares + weights_of(targets, model)


def reflections_are_fewer(values: Values, targets: Targets, model: ModelProfile) -> Fault | None:
    """R is at most the smallest input width, so that its vectors can be orthogonal."""
    smallest = min(targets, key=lambda one: one.d_in, default=None)
    if smallest is None or number(values, "r") <= smallest.d_in:
        return None
    return Fault(
        parameter="r",
        rule=f"r is at most the smallest input width, {smallest.d_in} ({smallest.name} of "
        f"{model.id})",
        next_step="Lower r.",
    )


def keep_input(values: Values, linear: Linear) -> float:
    """Keep the input in fp32, which is rotated or which the rotated weight multiplies."""
    del values
    return linear.d_in


def count_road(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count angles and scales: of each pair of outputs, of each output, or two of each."""
    parts = pick(values["variant"], PARTS)
    return parts * model.layers * sum(t.d_out for t in targets)


def keep_road(values: Values, linear: Linear) -> float:
    """Keep the output in fp32, and once more with the halves of its pairs changed over."""
    del values
    return 2 * linear.d_out


def _factors(values: Values) -> int:
    return whole(values, "boft_n_butterfly_factor") if "boft_block_size" in values else 1


def multiply_hra(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Multiply reflections of the input's width, and the weights by what they come to."""
    del values
    return 4 * model.layers * sum(t.d_in**2 * (t.d_in + t.d_out) for t in targets)


def multiply_boft(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Multiply permuted factors of the input's width, and the weights by what they come to."""
    factors = 14 * _factors(values) - 6
    rotated = sum(4 * t.d_in**2 * t.d_out for t in targets)
    return model.layers * (factors * sum(t.d_in**3 for t in targets) + rotated)


OFT = MethodSpec(
    name="oft",
    title="OFT, orthogonal fine-tuning",
    target="peft.OFTConfig",
    parameters=(
        Categorical(name="oft_block_size", choices=(32, 16, 64, 128, 256)),
        Categorical(name="block_share", choices=(False, True)),
    ),
    trainable=count_oft,
    frozen_numbers=index_oft,
    activation_floats=keep_input,
    shared_floats=keep_input,
    step_floats=rebuild_oft,
    operations=72,
    weight_passes=8.0,
    rate_factor=1.0,
    rate_source="PEFT's method comparison trains it at LoRA's rate",
    conditions=(inputs_are_whole_blocks, plain_linears),
    no_lora="it rotates the base weights",
    quantizations=("int8", "nf4"),
    paper="arXiv:2306.07280",
)
BOFT = MethodSpec(
    name="boft",
    title="BOFT, butterfly orthogonal fine-tuning",
    target="peft.BOFTConfig",
    injector="training_worker.tuners.block_diagonal.add_boft",
    parameters=(
        Categorical(name="boft_block_size", choices=(8, 4, 16, 32)),
        Categorical(name="boft_n_butterfly_factor", choices=(2, 1, 3, 4)),
    ),
    trainable=count_boft,
    frozen_numbers=permute_boft,
    frozen_in_model_precision=True,
    activation_floats=keep_boft,
    shared_floats=keep_input,
    step_floats=rebuild_boft,
    moment_floats=hold_squares,
    token_flops=in_place_of_the_base,
    step_flops=multiply_boft,
    factor_products=0.0,
    operations=82,
    weight_passes=74.0,
    in_model_precision=True,
    rate_factor=1.0,
    rate_source="PEFT's method comparison trains it at LoRA's rate",
    conditions=(inputs_are_whole_blocks, plain_linears),
    undecayed=("boft_s",),
    no_lora="it rotates and scales the base weights",
    quantizations=("int8", "nf4"),
    paper="arXiv:2311.06243",
)
HRA = MethodSpec(
    name="hra",
    title="HRA, Householder reflections",
    target="peft.HRAConfig",
    parameters=(
        Categorical(name="r", choices=(8, 2, 4, 16, 32)),  # even: pairs undo each other at first
        Categorical(name="apply_GS", choices=(False, True)),
    ),
    trainable=count_hra,
    activation_floats=keep_input,
    shared_floats=keep_input,
    step_floats=rebuild_hra,
    cast_weights=one_copy,
    moment_floats=hold_squares,
    token_flops=in_place_of_the_base,
    step_flops=multiply_hra,
    factor_products=0.0,
    operations=210,
    weight_passes=190.0,
    rate_factor=1.0,
    rate_source="PEFT's method comparison trains it at LoRA's rate",
    conditions=(reflections_are_fewer, plain_linears),
    undecayed=("hra_u",),
    no_lora="it reflects the base weights",
    paper="arXiv:2405.17484",
)
ROAD = MethodSpec(
    name="road",
    title="RoAd, rotation of pairs of outputs",
    target="peft.RoadConfig",
    parameters=(Categorical(name="variant", choices=("road_1", "road_2", "road_4")),),
    given={"group_size": "group_size"},
    trainable=count_road,
    activation_floats=keep_road,
    operations=63,
    rate_factor=5.0,
    rate_source="PEFT's method comparison trains it at 1e-3, LoRA at 1e-4 to 3e-4",
    conditions=(plain_linears,),
    undecayed=("road_alpha",),
    no_lora="it rotates and scales the base weights' outputs",
    quantizations=("int8", "nf4"),
    paper="arXiv:2409.00119",
)
ENTRIES = (OFT, BOFT, HRA, ROAD)
