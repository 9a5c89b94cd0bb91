"""LoRA from another start: only what A and B are before the first step differs.

Some starts move a part of the frozen weights into the adapter: W - s B0 A0 stays frozen. What they
train is saved as plain LoRA of twice the rank, s B A - s B0 A0, which goes on the base as it was;
with the adapter switched off the model in training is W - s B0 A0, not the base. With a base in
bf16 the two differ by the rounding of W - s B0 A0.

Left out: `loftq`, whose start is made for a base that is quantised with it, as 4-bit NormalFloat
with bitsandbytes on a GPU; on a base in full precision it would only make the base worse.
"""

from dataclasses import replace

from metadata.architectures import Linear
from metadata.methods.conditions import at_most_the_width, is_even, plain_linears
from metadata.methods.low_rank import LORA, keep_lora
from metadata.parameters import Values, number, whole
from metadata.records import ModelProfile

SAME_AS_LORA = "trained at LoRA's own rates in "


def count_down(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> int:
    """Count A of every targeted linear."""
    return whole(values, "r") * model.layers * sum(linear.d_in for linear in targets)


def count_up(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> int:
    """Count B of every targeted linear."""
    return whole(values, "r") * model.layers * sum(linear.d_out for linear in targets)


def keep_inputs(values: Values, linear: Linear) -> float:
    """Keep what A multiplies; what a frozen B does need not be known."""
    return keep_lora(values, linear) - number(values, "r")


GAUSSIAN = replace(
    LORA,
    name="lora_gaussian",
    title="LoRA from a Gaussian",
    fixed={"init_lora_weights": "gaussian"},
    rate_source="starts A from N(0, 1/r^2), as LoRA's paper says it: LoRA's own rates",
)
ORTHOGONAL = replace(
    LORA,
    name="lora_orthogonal",
    title="LoRA from orthogonal factors",
    fixed={"init_lora_weights": "orthogonal"},
    conditions=(at_most_the_width("r"), is_even("r")),
    quantizations=(),  # PEFT 0.21.2 gives the factors the precision of the stored weights
    rate_source="our choice: nothing is published",
    paper="",
)
PISSA = replace(
    LORA,
    name="pissa",
    title="PiSSA, principal singular values and vectors",
    fixed={"init_lora_weights": "pissa_niter_16"},  # the paper's fast SVD: seconds, not an hour
    injector="training_worker.starts.from_moved_base",
    rate_source=SAME_AS_LORA + "arXiv:2404.02948",
    undecayed=("lora_A", "lora_B"),
    quantizations=(),
    paper="arXiv:2404.02948",
)
OLORA = replace(
    PISSA,
    name="olora",
    title="OLoRA, orthonormal LoRA",
    fixed={"init_lora_weights": "olora"},
    conditions=(at_most_the_width("r"), plain_linears),
    rate_source=SAME_AS_LORA + "arXiv:2406.01775",
    paper="arXiv:2406.01775",
)
CORDA = replace(
    PISSA,
    name="corda",
    title="CorDA, context-oriented decomposition",
    fixed={"init_lora_weights": "corda"},
    given={"corda_config": "corda"},
    injector="training_worker.starts.from_covariances",
    rate_source=SAME_AS_LORA + "arXiv:2406.05223",
    paper="arXiv:2406.05223",
)
LORA_GA = replace(
    PISSA,
    name="lora_ga",
    title="LoRA-GA, gradient approximation",
    fixed={"init_lora_weights": "lora_ga"},
    given={"lora_ga_config": "lora_ga"},
    injector="training_worker.starts.from_gradients",
    conditions=(at_most_the_width("r", times=2),),
    rate_factor=0.5,
    rate_source="arXiv:2407.05000 trains at 5e-5 where its LoRA takes 1e-4 to 3e-4",
    paper="arXiv:2407.05000",
)
EVA = replace(
    LORA,
    name="eva",
    title="EVA, explained variance adaptation",
    injector="training_worker.starts.from_inputs",
    rate_source=SAME_AS_LORA + "arXiv:2410.07170; all layers have the same rank here, its rho is 1",
    undecayed=("lora_A",),
    paper="arXiv:2410.07170",
)
MICA = replace(
    LORA,
    name="mica",
    title="MiCA, minor component adaptation",
    fixed={"init_lora_weights": "mica"},
    injector="training_worker.starts.from_minor_components",
    trainable=count_down,
    frozen_numbers=count_up,
    activation_floats=keep_inputs,
    operations=24,
    rate_source="our choice: A starts at 0 as LoRA's B does, and B is orthonormal",
    quantizations=(),
    paper="arXiv:2604.01694",
)
ENTRIES = (GAUSSIAN, ORTHOGONAL, PISSA, OLORA, CORDA, LORA_GA, EVA, MICA)
