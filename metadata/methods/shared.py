"""Low-rank updates out of numbers that all layers share, random and frozen or trained once.

Random ones are saved with the adapter, since another version of PyTorch may draw others.
"""

from metadata.architectures import Linear
from metadata.elementwise import greatest, least, rounded, rounded_up
from metadata.methods.conditions import at_most_the_width, divides_widths
from metadata.methods.low_rank import kept_input, kept_mask, shared_input
from metadata.methods.spec import MethodSpec, beside_the_base
from metadata.parameters import Categorical, Float, Integer, Values, number, whole
from metadata.records import ModelProfile

Targets = tuple[Linear, ...]


def rank_of(values: Values) -> int:
    """Return the rank."""
    return whole(values, "r")


def count_vera(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count a scale per rank and one per output of every targeted linear."""
    return model.layers * (len(targets) * rank_of(values) + sum(t.d_out for t in targets))


def freeze_vera(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count one A and one B, as wide as the widest linear."""
    del model
    widths = max((t.d_in for t in targets), default=0) + max((t.d_out for t in targets), default=0)
    return rank_of(values) * widths


def keep_vera(values: Values, linear: Linear) -> float:
    """Keep what the two vectors scale; frozen factors need no input, but dropout its mask."""
    return kept_mask(values, linear, "vera_dropout") + number(values, "r") + linear.d_out


def bases(values: Values, linear: Linear) -> int:
    """Return how many bases of the rank make up a linear's smaller width."""
    return rounded_up(min(linear.d_in, linear.d_out) / rank_of(values))


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
    return rank * small + large * rounded_up(small / rank) * rank


def keep_randlora(values: Values, linear: Linear) -> float:
    """Keep what the scaled bases multiply: the input, or what the fixed ones made of it."""
    if linear.d_in <= linear.d_out:
        return kept_input(values, linear, "randlora_dropout")
    return kept_mask(values, linear, "randlora_dropout") + rank_of(values) * bases(values, linear)


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
    length, vectors = whole(values, "vector_length"), whole(values, "num_vectors")
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
    chosen = whole(values, "topk")
    factors = rank_of(values) * sum(t.d_in + t.d_out for t in targets)
    return model.layers * factors * (1 + chosen)


def count_pvera(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count a scale for each rank's mean, one for its variance, and one per output."""
    return model.layers * (2 * len(targets) * rank_of(values) + sum(t.d_out for t in targets))


def freeze_pvera(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count one A, of twice the rank, and one B, as wide as the widest linear."""
    return freeze_vera(values, targets, model) + rank_of(values) * max(
        (t.d_in for t in targets), default=0
    )


def keep_pvera(values: Values, linear: Linear) -> float:
    """Keep what the vectors scale, the noise and its spread."""
    return kept_mask(values, linear, "pvera_dropout") + 4 * number(values, "r") + linear.d_out


def count_theta(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count the one trained vector."""
    del targets, model
    return whole(values, "theta_d_length")


def hold_gradients(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Hold the vector's gradients by two maps and their sum, while they are added."""
    return 3 * count_theta(values, targets, model)


def freeze_indices(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count an index of eight bytes and a scale for every number of A and B."""
    return 3 * rebuild_unilora(values, targets, model)


def rebuild_unilora(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Keep A and B."""
    return rank_of(values) * model.layers * sum(t.d_in + t.d_out for t in targets)


def keep_unilora(values: Values, linear: Linear) -> float:
    """Keep the input in fp32 and A's output."""
    return kept_input(values, linear, "unilora_dropout") + number(values, "r")


def share_unilora(values: Values, linear: Linear) -> float:
    """Share the input unless dropout makes a copy of it."""
    return shared_input(values, linear, "unilora_dropout")


def count_tinylora(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count a short vector for each group of layers that share one."""
    layers = model.layers * len(targets)
    most = greatest(1, rounded(layers * (1 - number(values, "weight_tying"))))
    groups = least(rounded_up(layers / greatest(1, layers // most)), most)
    return whole(values, "u") * groups


def freeze_tinylora(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count the main singular vectors of every targeted linear, and its random projections."""
    rank, vectors = rank_of(values), whole(values, "u")
    widths = sum(t.d_in + t.d_out for t in targets)
    return model.layers * (rank * widths + len(targets) * vectors * rank**2)


def keep_tinylora(values: Values, linear: Linear) -> float:
    """Keep the input's part along the singular vectors."""
    return kept_mask(values, linear, "tinylora_dropout") + number(values, "r")


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
    token_flops=beside_the_base,
    factor_products=0.0,
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
PVERA = MethodSpec(
    name="pvera",
    title="PVeRA, probabilistic VeRA",
    target="peft.PveraConfig",
    parameters=(
        Integer(name="r", lower=16, upper=512, default=128, log=True),
        Float(name="d_initial", lower=0.01, upper=1.0, default=0.1, log=True),
        Float(name="pvera_dropout", lower=0.0, upper=0.3, default=0.0),
    ),
    trainable=count_pvera,
    frozen_numbers=freeze_pvera,
    activation_floats=keep_pvera,
    operations=43,
    rate_factor=10.0,
    rate_source="as VeRA's, arXiv:2310.11454; our choice",
    undecayed=("pvera_lambda_d",),
    no_lora="",
    quantizations=("int8", "nf4"),
    paper="arXiv:2512.07703",
)
UNILORA = MethodSpec(
    name="unilora",
    title="Uni-LoRA, one vector for all",
    target="peft.UniLoraConfig",
    parameters=(
        Integer(name="r", lower=1, upper=32, default=4, log=True),
        Integer(name="theta_d_length", lower=1024, upper=1048576, default=131072, log=True),
        Float(name="unilora_dropout", lower=0.0, upper=0.3, default=0.0),
    ),
    trainable=count_theta,
    frozen_numbers=freeze_indices,
    activation_floats=keep_unilora,
    shared_floats=share_unilora,
    step_floats=rebuild_unilora,
    moment_floats=hold_gradients,
    operations=37,
    rate_factor=10.0,
    rate_source="PEFT's method comparison trains it at 2e-3 where LoRA takes 1e-4 to 3e-4",
    conditions=(at_most_the_width("r"),),
    starts_at_base=False,
    no_lora="",
    paper="arXiv:2506.00799",
)
TINYLORA = MethodSpec(
    name="tinylora",
    title="TinyLoRA, a few numbers on the main singular vectors",
    target="peft.TinyLoraConfig",
    parameters=(
        Integer(name="r", lower=1, upper=8, default=2),
        Integer(name="u", lower=1, upper=256, default=64, log=True),
        Float(name="weight_tying", lower=0.0, upper=1.0, default=0.0),
        Float(name="tinylora_dropout", lower=0.0, upper=0.3, default=0.0),
    ),
    trainable=count_tinylora,
    frozen_numbers=freeze_tinylora,
    activation_floats=keep_tinylora,
    operations=52,
    rate_factor=10.0,
    rate_source="our choice: a few numbers stand for whole matrices, as in VeRA",
    conditions=(at_most_the_width("r"),),
    no_lora="",
    paper="arXiv:2602.04118",
)
ENTRIES = (VERA, PVERA, RANDLORA, VBLORA, UNILORA, TINYLORA)
