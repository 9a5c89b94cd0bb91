"""Low-rank updates out of numbers that all layers share, random and frozen or trained once.

Random ones are saved with the adapter, since another version of PyTorch may draw others.
"""

from math import ceil

from metadata.architectures import Linear
from metadata.methods.conditions import at_most_the_width, divides_widths
from metadata.methods.low_rank import kept_input, shared_input
from metadata.methods.spec import MethodSpec
from metadata.parameters import Categorical, Float, Integer, Values, number
from metadata.records import ModelProfile

Targets = tuple[Linear, ...]


def rank_of(values: Values) -> int:
    """Return the rank."""
    return int(number(values, "r"))


def count_vera(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count a scale per rank and one per output of every targeted linear."""
    return model.layers * sum(rank_of(values) + t.d_out for t in targets)


def freeze_vera(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count one A and one B, as wide as the widest linear."""
    del model
    widths = max((t.d_in for t in targets), default=0) + max((t.d_out for t in targets), default=0)
    return rank_of(values) * widths


def keep_vera(values: Values, linear: Linear) -> float:
    """Keep what the two vectors scale; frozen factors need no input, but dropout its mask."""
    mask = linear.d_in if number(values, "vera_dropout") > 0 else 0
    return mask + number(values, "r") + linear.d_out


def bases(values: Values, linear: Linear) -> int:
    """Return how many bases of the rank make up a linear's smaller width."""
    return ceil(min(linear.d_in, linear.d_out) / rank_of(values))


def count_randlora(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count for each base a scale per rank and one per unit of the smaller width."""
    return model.layers * sum(
        bases(values, t) * (rank_of(values) + min(t.d_in, t.d_out)) for t in targets
    )


def freeze_randlora(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count one A, and a B of all bases, as wide as the widest linear."""
    del model
    widths = (max((t.d_in for t in targets), default=0), max((t.d_out for t in targets), default=0))
    small, large, rank = min(widths), max(widths), rank_of(values)
    return rank * small + large * ceil(small / rank) * rank


def keep_randlora(values: Values, linear: Linear) -> float:
    """Keep what the scaled bases multiply: the input, or what the fixed ones made of it."""
    if linear.d_in <= linear.d_out:
        return kept_input(values, linear, "randlora_dropout")
    mask = linear.d_in if number(values, "randlora_dropout") > 0 else 0
    return mask + rank_of(values) * bases(values, linear)


def share_randlora(values: Values, linear: Linear) -> float:
    """Share the input where it is kept."""
    is_kept = linear.d_in <= linear.d_out
    return shared_input(values, linear, "randlora_dropout") if is_kept else 0.0


def rebuild_randlora(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Keep the scaled bases."""
    rank = rank_of(values)
    return model.layers * sum(bases(values, t) * rank * min(t.d_in, t.d_out) for t in targets)


def count_vblora(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count logits over the bank for every piece of A and B, and the bank once."""
    length, vectors = int(number(values, "vector_length")), int(number(values, "num_vectors"))
    pieces = sum(rank_of(values) * (t.d_in + t.d_out) // length for t in targets)
    return model.layers * pieces * vectors + vectors * length


def keep_vblora(values: Values, linear: Linear) -> float:
    """Keep the input in fp32 and A's output."""
    return kept_input(values, linear, "vblora_dropout") + number(values, "r")


def share_vblora(values: Values, linear: Linear) -> float:
    """Share the input unless dropout makes a copy of it."""
    return shared_input(values, linear, "vblora_dropout")


def rebuild_vblora(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Keep A, B and the chosen vectors that they are sums of."""
    chosen = int(number(values, "topk"))
    factors = sum(rank_of(values) * (t.d_in + t.d_out) for t in targets)
    return model.layers * factors * (1 + chosen)


VERA = MethodSpec(
    name="vera",
    title="VeRA, vector-based random matrices",
    target="peft.VeraConfig",
    parameters=(
        Integer(name="r", lower=16, upper=1024, default=256, log=True),
        Float(name="d_initial", lower=0.01, upper=1.0, default=0.1, log=True),
        Float(name="vera_dropout", lower=0.0, upper=0.3, default=0.0),
    ),
    trainable=count_vera,
    frozen_numbers=freeze_vera,
    activation_floats=keep_vera,
    operations=31,
    rate_factor=10.0,
    rate_source="arXiv:2310.11454 trains at ten times LoRA's rate",
    undecayed=("vera_lambda_d",),
    no_lora="",
    quantizations=("int8", "nf4"),
    paper="arXiv:2310.11454",
)
RANDLORA = MethodSpec(
    name="randlora",
    title="RandLoRA, full rank from random bases",
    target="peft.RandLoraConfig",
    parameters=(
        Integer(name="r", lower=4, upper=256, default=32, log=True),
        Integer(name="randlora_alpha", lower=32, upper=2048, default=640, log=True),
        Float(name="randlora_dropout", lower=0.0, upper=0.3, default=0.0),
    ),
    trainable=count_randlora,
    frozen_numbers=freeze_randlora,
    activation_floats=keep_randlora,
    shared_floats=share_randlora,
    step_floats=rebuild_randlora,
    operations=68,
    weight_passes=7.6,
    rate_factor=0.5,
    rate_source="PEFT's method comparison: LoRA's rate; its documentation says to lower it "
    "with the large alpha",
    conditions=(at_most_the_width("r"),),
    undecayed=("randlora_gamma",),
    no_lora="its update has full rank",
    quantizations=("int8", "nf4"),
    paper="arXiv:2502.00987",
)
VBLORA = MethodSpec(
    name="vblora",
    title="VB-LoRA, vector banks",
    target="peft.VBLoRAConfig",
    parameters=(
        Integer(name="r", lower=1, upper=32, default=4, log=True),
        Integer(name="num_vectors", lower=32, upper=4096, default=256, log=True),
        Categorical(name="vector_length", choices=(256, 128, 64, 32, 16)),
        Categorical(name="topk", choices=(2, 3, 4)),
        Float(name="vblora_dropout", lower=0.0, upper=0.3, default=0.0),
    ),
    trainable=count_vblora,
    activation_floats=keep_vblora,
    shared_floats=share_vblora,
    step_floats=rebuild_vblora,
    operations=84,
    rate_factor=10.0,
    rate_source="arXiv:2405.15179 trains vectors at 1e-3 and logits at 1e-2; our choice between",
    conditions=(at_most_the_width("r"), divides_widths("vector_length")),
    starts_at_base=False,
    undecayed=("vblora_logits", "vblora_vector_bank"),
    no_lora="",
    paper="arXiv:2405.15179",
)
ENTRIES = (VERA, RANDLORA, VBLORA)
