"""Low-rank updates with another parametrisation than LoRA's."""

from metadata.architectures import Linear
from metadata.methods.conditions import at_most_the_width, plain_linears
from metadata.methods.low_rank import RANK, count_lora, kept_input
from metadata.methods.spec import MethodSpec
from metadata.parameters import Float, Integer, Values, number
from metadata.records import ModelProfile

Targets = tuple[Linear, ...]


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
ENTRIES = (DELORA,)
