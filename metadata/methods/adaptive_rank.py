"""Low-rank updates that share a budget of rank among the layers while they train."""

from metadata.architectures import Linear
from metadata.methods.conditions import at_most_the_width, below
from metadata.methods.low_rank import ALPHA, DROPOUT, kept_input, share_input
from metadata.methods.spec import MethodSpec
from metadata.parameters import Float, Integer, Values, number, whole
from metadata.records import ModelProfile

PARAMETERS = (
    Integer(name="target_r", lower=1, upper=32, default=8, log=True),
    Integer(name="init_r", lower=2, upper=64, default=12, log=True),
    ALPHA,
    DROPOUT,
    Float(name="orth_reg_weight", lower=0.01, upper=1.0, default=0.5, log=True),
)


def count_adalora(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> int:
    """Count A, B and the diagonal E, at the rank before any is taken away."""
    rank = whole(values, "init_r")
    return rank * model.layers * sum(t.d_in + t.d_out + 1 for t in targets)


def count_ranks(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> int:
    """Count the number by which each layer's update is scaled."""
    del values
    return model.layers * len(targets)


def keep_adalora(values: Values, linear: Linear) -> float:
    """Keep the input in fp32, and what A E makes of it."""
    return kept_input(values, linear, "lora_dropout") + number(values, "init_r")


ADALORA = MethodSpec(
    name="adalora",
    title="AdaLoRA, adaptive budget allocation",
    target="peft.AdaLoraConfig",
    parameters=PARAMETERS,
    given={"total_step": "steps", "tinit": "first_steps", "tfinal": "last_steps"},
    penalty="training_worker.adaptive_rank.orthogonality",
    trainable=count_adalora,
    frozen_numbers=count_ranks,
    activation_floats=keep_adalora,
    shared_floats=share_input,
    state_copies=3.0,
    operations=126,
    injector="training_worker.adaptive_rank.add_adalora",
    needs_gradients=True,
    rate_factor=1.0,
    rate_source="our choice: LoRA's, whose scale it has",
    conditions=(at_most_the_width("init_r"), below("target_r", "init_r")),
    undecayed=("lora_A", "lora_B"),
    no_lora="",
    quantizations=("int8", "nf4"),
    paper="arXiv:2303.10512",
)
ENTRIES = (ADALORA,)
