"""Low-rank updates with another parametrisation than LoRA's, or trained in another way.

Left out of what PEFT 0.21.2 has:

- `lily` mixes its experts by the mean over all tokens of a batch, so that a token's output depends
  on later tokens, on padding and on the examples beside it: no generation is like its training.
- `alora` acts only after an invocation text that every example must contain; data of ours has none.
- `monteclora` draws its noise inside the forward pass and penalises what it drew there, 150 draws
  of 8 copies of A for each linear in advance: more than the model itself.
- `frod` solves, in float64 on the CPU, a system as wide as its input for every linear, keeps its
  weights a second time, and puts their product in the precision of the base in its place.
"""

from metadata.architectures import Linear, weights_of
from metadata.elementwise import pick, rounded_up
from metadata.methods.conditions import (
    at_most_the_width,
    divides,
    divides_widths,
    plain_linears,
)
from metadata.methods.low_rank import (
    ALPHA,
    DROPOUT,
    RANK,
    count_lora,
    keep_lora,
    kept_input,
    kept_mask,
    share_input,
    shared_input,
)
from metadata.methods.spec import Fault, MethodSpec, beside_the_base, one_copy
from metadata.parameters import Categorical, Float, Integer, Values, number, whole
from metadata.records import ModelProfile

ROW_SHARDED = frozenset({"o", "down"})  # cut by inputs where a model is spread over devices
Targets = tuple[Linear, ...]
# Copies that the gradient of a function between its layers needs.
MADE = {"relu": 1, "tanh": 1, "gelu": 2, "silu": 2}


def count_delora(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count A, B and one strength."""
    return count_lora(values, targets, model) + model.layers * len(targets)


def count_norms(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count the norm of the base weights of each input."""
    del values
    return model.layers * sum(t.d_in for t in targets)


def keep_delora(values: Values, linear: Linear) -> float:
    """Keep the scaled input, and A's output before and after its strengths."""
    return kept_input(values, linear, "module_dropout") + 2 * number(values, "r")


def count_deft(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count the projection P and the injection R."""
    return count_lora(values, targets, model)


def keep_deft(values: Values, linear: Linear) -> float:
    """Keep the input and the base's output in fp32, and what P and R make of them."""
    return kept_input(values, linear, "deft_dropout") + linear.d_out + 2 * number(values, "r")


def share_deft(values: Values, linear: Linear) -> float:
    """Share the input unless dropout makes a copy of it."""
    return shared_input(values, linear, "deft_dropout")


def count_peanut(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count what reads the weights, what writes the update, and the layers between."""
    rank, depth = whole(values, "r"), whole(values, "depth")
    outputs = sum(t.d_out for t in targets)
    return model.layers * (2 * rank * outputs + 2 * depth * rank**2 * len(targets))


def keep_whole(values: Values, linear: Linear) -> float:
    """Keep the input in fp32, which the whole update multiplies."""
    return kept_input(values, linear)


def rebuild_peanut(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Keep the update, and what each of the layers that make it made."""
    rank, depth = whole(values, "r"), whole(values, "depth")
    hidden = rank * sum(t.d_in for t in targets) * pick(values["act_fn"], MADE) * (1 + 2 * depth)
    return weights_of(targets, model) + model.layers * hidden


def count_kasa(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count A, B and a diagonal between them."""
    return count_lora(values, targets, model) + model.layers * len(targets) * whole(values, "r")


def keep_kasa(values: Values, linear: Linear) -> float:
    """Keep the input in fp32, and A's output before and after the diagonal."""
    return kept_input(values, linear, "lora_dropout") + 2 * number(values, "r")


def keep_groups(values: Values, linear: Linear) -> float:
    """Keep one number for each group of inputs instead of the inputs, and A's output."""
    return (
        kept_mask(values, linear, "lora_dropout")
        + number(values, "num_groups")
        + number(values, "r")
    )


def count_embeds(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count the direction on which groups are projected."""
    return model.layers * sum(rounded_up(t.d_in / number(values, "num_groups")) for t in targets)


def count_blocks(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count A and B, of which one has blocks on its diagonal only."""
    rank, blocks = whole(values, "r"), whole(values, "nblocks")
    return model.layers * sum(
        rank * (t.d_in // blocks + t.d_out)
        if t.role in ROW_SHARDED
        else rank * (t.d_in + t.d_out // blocks)
        for t in targets
    )


def tells_apart(values: Values, targets: Targets, model: ModelProfile) -> Fault | None:
    """Hold where no name of a map that reads is part of the name of one that writes."""
    del values
    names = {t: t.name.rpartition(".")[2] for t in targets}
    for row in (t for t in targets if t.role in ROW_SHARDED):
        for other in (t for t in targets if t.role not in ROW_SHARDED):
            if names[row] in names[other] or names[other] in names[row]:
                return Fault(
                    parameter="name",
                    rule="PEFT tells the method's two kinds of maps apart by their names, and "
                    f"cannot with {row.name} and {other.name} of {model.id}",
                    next_step="Choose another method, such as lora, or other target modules.",
                )
    return None


def multiply_peanut(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Multiply the weights by what reads them, and what writes the update."""
    return 10 * whole(values, "r") * weights_of(targets, model)


DELORA = MethodSpec(
    name="delora",
    title="DeLoRA, decoupled angles and strength",
    target="peft.DeloraConfig",
    parameters=(
        RANK,
        Integer(name="delora_lambda", lower=1, upper=60, default=15, log=True),
        Float(name="module_dropout", lower=0.0, upper=0.3, default=0.0),
    ),
    trainable=count_delora,
    frozen_numbers=count_norms,
    activation_floats=keep_delora,
    operations=75,
    rate_factor=10.0,
    rate_source="PEFT's documentation: 10 to 100 times LoRA's",
    conditions=(at_most_the_width("r"), plain_linears),
    undecayed=("delora_lambda",),
    no_lora="",
    paper="arXiv:2503.18225",
)
DEFT = MethodSpec(
    name="deft",
    title="DEFT, decompositional fine-tuning",
    target="peft.DeftConfig",
    parameters=(
        RANK,
        Categorical(name="decomposition_method", choices=("relu", "qr")),
        Float(name="deft_dropout", lower=0.0, upper=0.3, default=0.0),
    ),
    trainable=count_deft,
    activation_floats=keep_deft,
    shared_floats=share_deft,
    operations=60,
    rate_factor=1.0,
    rate_source="PEFT's method comparison trains it at LoRA's rate",
    conditions=(at_most_the_width("r"),),
    undecayed=("deft_P", "deft_R"),
    no_lora="",
    paper="arXiv:2511.01689",
)
PEANUT = MethodSpec(
    name="peanut",
    title="PEANuT, weight-aware neural tweakers",
    target="peft.PeanutConfig",
    parameters=(
        Integer(name="r", lower=1, upper=128, default=32, log=True),
        Integer(name="depth", lower=0, upper=3, default=0),
        Categorical(name="act_fn", choices=("relu", "gelu", "silu", "tanh")),
        Float(name="scaling", lower=0.25, upper=32.0, default=2.0, log=True),
    ),
    trainable=count_peanut,
    activation_floats=keep_whole,
    shared_floats=keep_whole,
    step_floats=rebuild_peanut,
    token_flops=beside_the_base,
    step_flops=multiply_peanut,
    factor_products=0.0,
    operations=37,
    weight_passes=12.0,
    cast_weights=one_copy,
    rate_factor=1.0,
    rate_source="PEFT's method comparison trains it at LoRA's rate",
    conditions=(at_most_the_width("r"), plain_linears),
    no_lora="",
    paper="arXiv:2410.01870",
)
KASA = MethodSpec(
    name="kasa",
    title="KaSA, knowledge-aware singular values",
    target="peft.LoraConfig",
    parameters=(
        RANK,
        ALPHA,
        DROPOUT,
        Float(name="beta", lower=1e-6, upper=1e-2, default=1e-4, log=True),
        Float(name="gamma", lower=1e-5, upper=1e-1, default=1e-3, log=True),
    ),
    given={"kasa_config": "kasa"},
    injector="training_worker.starts.from_truncated_base",
    penalty="training_worker.starts.kasa_penalty",
    trainable=count_kasa,
    activation_floats=keep_kasa,
    shared_floats=share_input,
    operations=86,
    rate_factor=1.0,
    rate_source="PEFT's method comparison trains it at LoRA's rate",
    conditions=(at_most_the_width("r", times=2), plain_linears),
    starts_at_base=False,
    no_lora="",
    paper="arXiv:2412.06071",
)
VELORA = MethodSpec(
    name="velora",
    title="VeLoRA, LoRA with compressed activations",
    target="peft.LoraConfig",
    parameters=(
        RANK,
        ALPHA,
        DROPOUT,
        Integer(name="num_groups", lower=4, upper=256, default=64, log=True),
        Float(name="scale", lower=0.25, upper=4.0, default=1.0, log=True),
    ),
    given={"velora_config": "velora"},
    injector="training_worker.starts.to_plain_lora",
    trainable=count_lora,
    frozen_numbers=count_embeds,
    activation_floats=keep_groups,
    operations=53,
    rate_factor=1.0,
    rate_source="trained at LoRA's own rates in arXiv:2405.17991",
    conditions=(at_most_the_width("r"),),
    no_lora="",
    paper="arXiv:2405.17991",
)
BDLORA = MethodSpec(
    name="bdlora",
    title="BD-LoRA, block-diagonal LoRA",
    target="peft.LoraConfig",
    parameters=(RANK, ALPHA, DROPOUT, Categorical(name="nblocks", choices=(2, 4, 8))),
    given={"use_bdlora": "bdlora"},
    injector="training_worker.starts.to_plain_lora",
    trainable=count_blocks,
    activation_floats=keep_lora,
    shared_floats=share_input,
    operations=54,
    rate_factor=1.0,
    rate_source="PEFT's method comparison trains it at LoRA's rate",
    conditions=(
        at_most_the_width("r"),
        divides("nblocks", "r"),
        divides_widths("nblocks"),
        plain_linears,
        tells_apart,
    ),
    no_lora="",
    paper="arXiv:2510.23346",
)
ENTRIES = (DELORA, DEFT, PEANUT, KASA, VELORA, BDLORA)
