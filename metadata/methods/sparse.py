"""Training of a few single weights of each linear.

Super-Tuning with LoRA beside it, which its paper calls Supra, is left out: LoRA is a method here.
"""

from metadata.architectures import Linear
from metadata.elementwise import truncated
from metadata.methods.conditions import plain_linears
from metadata.methods.low_rank import count_lora
from metadata.methods.products import rebuild_once
from metadata.methods.spec import Fault, MethodSpec, in_place_of_the_base
from metadata.parameters import Float, Integer, Values, number
from metadata.records import ModelProfile

Targets = tuple[Linear, ...]


def has_as_many_weights(values: Values, targets: Targets, model: ModelProfile) -> Fault | None:
    """R (d_in + d_out) is at most the number of weights of each linear it is used on."""
    for linear in targets:
        most = linear.d_in * linear.d_out // (linear.d_in + linear.d_out)
        if number(values, "r") > most:
            return Fault(
                parameter="r",
                rule=f"r times d_in + d_out is at most d_in times d_out, so r at most {most} on "
                f"{linear.name} of {model.id}",
                next_step="Lower r or target other modules.",
            )
    return None


def keep_input(values: Values, linear: Linear) -> float:
    """Keep the input, which the new weight multiplies."""
    del values
    return linear.d_in


def place_lora(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Keep row and column of each trained weight, and its value in fp32, half an index."""
    return 5 * count_lora(values, targets, model) // 2


def count_largest(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count the share of each linear's weights that is trained."""
    share = 1 - number(values, "sparsity")
    return model.layers * sum(truncated(t.d_in * t.d_out * share) for t in targets)


SPARSITY = Float(name="sparsity", lower=0.9, upper=0.999, default=0.99)
SHIRA = MethodSpec(
    name="shira",
    title="SHiRA, sparse high-rank adapter",
    target="peft.ShiraConfig",
    parameters=(Integer(name="r", lower=1, upper=256, default=8, log=True),),
    fixed={"random_seed": 0},
    trainable=count_lora,
    activation_floats=keep_input,
    shared_floats=keep_input,
    step_floats=rebuild_once,
    step_indices=place_lora,
    token_flops=in_place_of_the_base,
    factor_products=0.0,
    operations=14,
    weight_passes=9.0,
    in_model_precision=True,
    rate_factor=1.5,
    rate_source="PEFT's method comparison trains it at 3e-4, LoRA at 1e-4 to 3e-4",
    conditions=(has_as_many_weights, plain_linears),
    no_lora="its update has full rank",
    quantizations=("int8", "nf4"),
    paper="arXiv:2406.13175",
)
SUPER_TUNING = MethodSpec(
    name="supertuning",
    title="Super-Tuning of the largest weights",
    target="peft.SupertuningConfig",
    parameters=(SPARSITY,),
    trainable=count_largest,
    frozen_numbers=count_largest,
    activation_floats=keep_input,
    shared_floats=keep_input,
    step_floats=rebuild_once,
    step_indices=count_largest,
    token_flops=in_place_of_the_base,
    factor_products=0.0,
    operations=9,
    weight_passes=4.0,
    in_model_precision=True,
    rate_factor=1.0,
    rate_source="our choice: SHiRA's kind of weights, at LoRA's rate",
    conditions=(plain_linears,),
    no_lora="its update has full rank",
    paper="arXiv:2607.09287",
)
ENTRIES = (SHIRA, SUPER_TUNING)
