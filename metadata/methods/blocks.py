"""Updates made of blocks: of their own, or one that is repeated."""

from metadata.architectures import Linear, weights_of
from metadata.elementwise import where
from metadata.methods.conditions import at_most_the_width, divides, divides_widths, plain_linears
from metadata.methods.low_rank import kept_input, kept_mask, shared_input
from metadata.methods.products import keep_input
from metadata.methods.spec import MethodSpec, in_place_of_the_base
from metadata.parameters import Categorical, Float, Integer, Values, number, whole
from metadata.records import ModelProfile

Targets = tuple[Linear, ...]


def count_gralora(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count A and B of all blocks, and of the plain LoRA beside them."""
    ranks = whole(values, "r") + whole(values, "hybrid_r")
    return ranks * model.layers * sum(t.d_in + t.d_out for t in targets)


def keep_gralora(values: Values, linear: Linear) -> float:
    """Keep the input in fp32 and what each block's A makes of it; the plain LoRA's own beside."""
    hybrid = number(values, "hybrid_r")
    ranks = number(values, "gralora_k") * number(values, "r") + hybrid
    inputs = where(hybrid > 0, 2, 1)
    return kept_input(values, linear, "gralora_dropout") * inputs + ranks


def share_gralora(values: Values, linear: Linear) -> float:
    """Share the input unless dropout makes a copy of it."""
    return shared_input(values, linear, "gralora_dropout")


def count_miss(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count a block of one row per rank."""
    return whole(values, "r") * model.layers * sum(t.d_out for t in targets)


def count_mini(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count a block that is repeated over the outputs too."""
    return model.layers * whole(values, "r") * whole(values, "mini_r") * len(targets)


def keep_sums(values: Values, linear: Linear) -> float:
    """Keep the sums over shards of the input, and dropout's mask."""
    return kept_mask(values, linear, "miss_dropout") + number(values, "r")


def rebuild_block(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Keep the block as it is repeated."""
    return count_miss(values, targets, model)


def rebuild_twice(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Keep the new weights and the blocks of the old ones that were multiplied."""
    return 2 * weights_of(targets, model)


def multiply_miss_bat(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Multiply the blocks of the old weights, and their gradients."""
    return 4 * whole(values, "r") * weights_of(targets, model)


GRALORA = MethodSpec(
    name="gralora",
    title="GraLoRA, granular LoRA",
    target="peft.GraloraConfig",
    parameters=(
        Integer(name="r", lower=2, upper=256, default=32, log=True),
        Integer(name="alpha", lower=1, upper=512, default=64, log=True),
        Categorical(name="gralora_k", choices=(2, 4, 8)),
        Integer(name="hybrid_r", lower=0, upper=32, default=0),
        Float(name="gralora_dropout", lower=0.0, upper=0.3, default=0.0),
    ),
    trainable=count_gralora,
    activation_floats=keep_gralora,
    operations=76,
    shared_floats=share_gralora,
    rate_factor=1.0,
    rate_source="PEFT's method comparison trains it at 2e-4, LoRA at 1e-4 to 3e-4",
    conditions=(at_most_the_width("r"), divides("gralora_k", "r"), divides_widths("gralora_k")),
    no_lora="its blocks together have gralora_k times the rank",
    paper="arXiv:2505.20355",
)
MISS = MethodSpec(
    name="miss",
    title="MiSS, matrix shard sharing",
    target="peft.MissConfig",
    parameters=(
        Integer(name="r", lower=2, upper=256, default=64, log=True),
        Float(name="miss_dropout", lower=0.0, upper=0.3, default=0.0),
    ),
    trainable=count_miss,
    activation_floats=keep_sums,
    operations=17,
    rate_factor=0.5,
    rate_source="its sums over shards have the size of many inputs; our choice, PEFT's "
    "comparison has LoRA's rate",
    conditions=(at_most_the_width("r"), plain_linears),
    no_lora="",
    quantizations=("int8", "nf4"),
    paper="arXiv:2409.15371",
)
MISS_MINI = MethodSpec(
    name="miss_mini",
    title="MiSS, the shard shared over outputs too",
    target="peft.MissConfig",
    parameters=(
        Integer(name="r", lower=2, upper=256, default=64, log=True),
        Categorical(name="mini_r", choices=(32, 16, 64, 128)),
        Float(name="miss_dropout", lower=0.0, upper=0.3, default=0.0),
    ),
    fixed={"init_weights": "mini"},
    trainable=count_mini,
    activation_floats=keep_sums,
    operations=20,
    step_floats=rebuild_block,
    rate_factor=0.5,
    rate_source="as miss",
    conditions=(at_most_the_width("r"), divides_widths("mini_r", "outputs"), plain_linears),
    no_lora="",
    quantizations=("int8", "nf4"),
    paper="arXiv:2409.15371",
)
MISS_BAT = MethodSpec(
    name="miss_bat",
    title="MiSS, block affine transformation",
    target="peft.MissConfig",
    parameters=(Categorical(name="r", choices=(64, 8, 16, 32, 128)),),
    fixed={"init_weights": "bat"},
    trainable=count_miss,
    activation_floats=keep_input,
    shared_floats=keep_input,
    step_floats=rebuild_twice,
    token_flops=in_place_of_the_base,
    step_flops=multiply_miss_bat,
    factor_products=0.0,
    operations=32,
    weight_passes=24.0,
    rate_factor=0.5,
    rate_source="as miss",
    conditions=(divides_widths("r"), plain_linears),
    no_lora="it multiplies blocks of the base weights",
    quantizations=("int8", "nf4"),
    paper="arXiv:2409.15371",
)
ENTRIES = (GRALORA, MISS, MISS_MINI, MISS_BAT)
