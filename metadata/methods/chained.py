"""Low-rank updates with a chain of square matrices between the factors: scale * B C_n ... C_1 A."""

from dataclasses import replace

from metadata.architectures import Linear
from metadata.methods.conditions import at_most_the_width
from metadata.methods.low_rank import ALPHA, DROPOUT, RANK, count_lora, keep_lora, share_input
from metadata.methods.selective import NEW_BIASES
from metadata.methods.spec import MethodSpec
from metadata.parameters import Categorical, Integer, Values, whole
from metadata.records import ModelProfile

LINKS = Integer(name="links", lower=1, upper=4, default=3)
START = Categorical(name="chain_init", choices=("kaiming", "orthogonal", "identity"))


def count_linchain(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> int:
    """Count LoRA's factors and a square for each link."""
    links = whole(values, "links") * whole(values, "r") ** 2
    return count_lora(values, targets, model) + model.layers * len(targets) * links


def keep_chain(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> int:
    """Keep what each link makes of A."""
    held = whole(values, "links") * whole(values, "r")
    return held * model.layers * sum(linear.d_in for linear in targets)


def count_biased(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> int:
    """Count the same, and a bias for each link."""
    biases = whole(values, "links") * whole(values, "r")
    return count_linchain(values, targets, model) + model.layers * len(targets) * biases


LINCHAIN = MethodSpec(
    name="linchain",
    title="LinChain",
    target="training_worker.tuners.linchain.LinChainConfig",
    parameters=(RANK, ALPHA, DROPOUT, LINKS, START),
    trainable=count_linchain,
    activation_floats=keep_lora,
    shared_floats=share_input,
    step_floats=keep_chain,
    operations=50,
    rate_factor=1.0,
    rate_source="its code trains at 3e-4, as LoRA in the code that it extends",
    conditions=(at_most_the_width("r"),),
    no_lora="",
    paper="arXiv:2411.00039",
)
LINCHAIN_BIASED = replace(
    LINCHAIN,
    name="linchain_biased",
    title="LinChain with link biases, as its authors' code",
    fixed={"chain_bias": True},
    trainable=count_biased,
    no_merge=NEW_BIASES,
    no_lora="links with biases add to the output whatever the input",
)
ENTRIES = (LINCHAIN, LINCHAIN_BIASED)
