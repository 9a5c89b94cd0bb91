"""Low-rank updates: W + scale * B A, with A of shape (r, d_in) and B of shape (d_out, r)."""

from metadata.architectures import Linear
from metadata.elementwise import where
from metadata.methods.conditions import at_most_the_width
from metadata.methods.spec import MethodSpec
from metadata.parameters import Float, Integer, Values, number, whole
from metadata.records import ModelProfile

RANK = Integer(name="r", lower=1, upper=256, default=16, log=True)
ALPHA = Integer(name="lora_alpha", lower=1, upper=512, default=32, log=True)
DROPOUT = Float(name="lora_dropout", lower=0.0, upper=0.3, default=0.0)


def count_lora(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> int:
    """Count A and B of every targeted linear."""
    rank = whole(values, "r")
    return rank * model.layers * sum(linear.d_in + linear.d_out for linear in targets)


def count_a(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> int:
    """Count A of every targeted linear."""
    return whole(values, "r") * model.layers * sum(linear.d_in for linear in targets)


def count_b(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> int:
    """Count B of every targeted linear."""
    return count_lora(values, targets, model) - count_a(values, targets, model)


def count_dora(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> int:
    """Count A, B and one magnitude per output."""
    return count_lora(values, targets, model) + model.layers * sum(t.d_out for t in targets)


def drops(values: Values, dropout: str) -> bool:
    """Say whether there is dropout, by the parameter of this name."""
    return number(values, dropout) > 0


def kept_mask(values: Values, linear: Linear, dropout: str) -> float:
    """Return dropout's mask where there is any: a byte for each input, a quarter of a float."""
    return where(drops(values, dropout), linear.d_in / 4, 0.0)


def kept_input(values: Values, linear: Linear, dropout: str = "") -> float:
    """Return the input that is kept in fp32, as dropout let it through, and its mask."""
    return linear.d_in + (kept_mask(values, linear, dropout) if dropout else 0.0)


def shared_input(values: Values, linear: Linear, dropout: str = "") -> float:
    """Return the input as it is, unless dropout makes a copy of it."""
    return where(drops(values, dropout), 0.0, linear.d_in) if dropout else linear.d_in


def keep_lora(values: Values, linear: Linear) -> float:
    """Keep the input in fp32 (PEFT casts it for its fp32 weights) and A's output."""
    return kept_input(values, linear, "lora_dropout") + number(values, "r")


def share_input(values: Values, linear: Linear) -> float:
    """Share the input unless dropout makes a copy of it."""
    return shared_input(values, linear, "lora_dropout")


def keep_dora(values: Values, linear: Linear) -> float:
    """Keep LoRA's floats and the output that the magnitude scales; with dropout the base's too."""
    outputs = where(drops(values, "lora_dropout"), 2.0, 1.0)
    return keep_lora(values, linear) + outputs * linear.d_out


def keep_base_output(values: Values, linear: Linear) -> float:
    """Keep the base's output, unless dropout has it computed again in fp32."""
    return where(drops(values, "lora_dropout"), 0.0, linear.d_out)


def hold_dora(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> int:
    """Hold the identity that goes through A and B, and two sums, for the widest map's norms."""
    del values, model
    return max((t.d_in * (t.d_in + 2 * t.d_out) for t in targets), default=0)


def cast_if_dropped(values: Values) -> float:
    """Keep the base's weights in fp32 where they multiply an input that dropout has changed."""
    return where(drops(values, "lora_dropout"), 1.0, 0.0)


def multiply_if_dropped(values: Values) -> float:
    """Multiply the base's weights again by an input that dropout has changed."""
    return where(drops(values, "lora_dropout"), 4.0, 0.0)


def multiply_factors(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> int:
    """Multiply the factors, for the norms of the weights that they come to."""
    rank = whole(values, "r")
    return 2 * rank * model.layers * sum(t.d_in * (t.d_in + t.d_out) for t in targets)


def keep_b_only(values: Values, linear: Linear) -> float:
    """Keep A's output and dropout's mask: A needs no gradient."""
    return number(values, "r") + kept_mask(values, linear, "lora_dropout")


LORA = MethodSpec(
    name="lora",
    title="LoRA",
    target="peft.LoraConfig",
    parameters=(RANK, ALPHA, DROPOUT),
    trainable=count_lora,
    activation_floats=keep_lora,
    shared_floats=share_input,
    operations=32,
    rate_factor=1.0,
    rate_source="the width rule is LoRA's own",
    conditions=(at_most_the_width("r"),),
    no_lora="",
    quantizations=("int8", "nf4"),
    paper="arXiv:2106.09685",
)
RSLORA = MethodSpec(
    name="rslora",
    title="rank-stabilised LoRA",
    target="peft.LoraConfig",
    parameters=(RANK, ALPHA, DROPOUT),
    fixed={"use_rslora": True},
    trainable=count_lora,
    activation_floats=keep_lora,
    shared_floats=share_input,
    operations=32,
    rate_factor=0.5,
    rate_source="scale alpha/sqrt(r) is sqrt(r) times LoRA's; our choice, not published",
    conditions=(at_most_the_width("r"),),
    no_lora="",
    quantizations=("int8", "nf4"),
    paper="arXiv:2312.03732",
)
DORA = MethodSpec(
    name="dora",
    title="DoRA, weight-decomposed LoRA",
    target="peft.LoraConfig",
    parameters=(RANK, ALPHA, DROPOUT),
    fixed={"use_dora": True},
    trainable=count_dora,
    activation_floats=keep_dora,
    model_floats=keep_base_output,
    moment_floats=hold_dora,
    cast_weights=cast_if_dropped,
    shared_floats=share_input,
    token_flops=multiply_if_dropped,
    step_flops=multiply_factors,
    operations=64,
    weight_passes=9.0,
    rate_factor=1.0,
    rate_source="arXiv:2402.09353 trains with LoRA's settings",
    conditions=(at_most_the_width("r"),),
    undecayed=("lora_magnitude_vector",),
    no_lora="its magnitudes scale the base weights too",
    quantizations=("int8", "nf4"),
    paper="arXiv:2402.09353",
)
B_ONLY = MethodSpec(
    name="b_only_lora",
    title="B-only LoRA",
    target="training_worker.tuners.b_only.BOnlyConfig",
    parameters=(RANK, ALPHA, DROPOUT),
    trainable=count_b,
    frozen_numbers=count_a,
    activation_floats=keep_b_only,
    operations=27,
    rate_factor=1.0,
    rate_source="LoRA's own: B is what moves first there too; our choice, not published",
    conditions=(at_most_the_width("r"),),
    no_lora="",
    paper="arXiv:2402.16842",
)
ENTRIES = (LORA, RSLORA, DORA, B_ONLY)
