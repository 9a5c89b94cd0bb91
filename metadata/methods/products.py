"""Updates that are products element by element, or Kronecker's: of high rank from few numbers."""

from collections.abc import Mapping
from functools import lru_cache

from metadata.architectures import Linear, weights_of
from metadata.elementwise import for_each, greatest, pick, where
from metadata.methods.conditions import at_most_the_width, plain_linears
from metadata.methods.low_rank import RANK, count_lora, kept_input, shared_input
from metadata.methods.spec import MethodSpec, beside_the_base
from metadata.parameters import Categorical, Float, Integer, Values, whole
from metadata.records import ModelProfile

Targets = tuple[Linear, ...]
ALPHA = Integer(name="alpha", lower=1, upper=512, default=16, log=True)


def count_two(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count two pairs of factors."""
    return 2 * count_lora(values, targets, model)


def keep_input(values: Values, linear: Linear) -> float:
    """Keep the input in fp32, which the rebuilt update multiplies."""
    return kept_input(values, linear)


def keep_hira(values: Values, linear: Linear) -> float:
    """Keep the input in fp32."""
    return kept_input(values, linear, "hira_dropout")


def share_hira(values: Values, linear: Linear) -> float:
    """Share the input unless dropout makes a copy of it."""
    return shared_input(values, linear, "hira_dropout")


def rebuild_once(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Keep the rebuilt update, or the new weights."""
    del values
    return weights_of(targets, model)


@lru_cache(maxsize=4096)
def two_factors(width: int, factor: int) -> tuple[int, int]:
    """Return LyCORIS's two factors of a width, the smaller first.

    The given factor and its other, or where it does not divide, or is -1, the two nearest each
    other of which the smaller is at most that.
    """
    if factor > 0 and width % factor == 0:
        return factor, width // factor
    most = width if factor == -1 else factor
    smaller = max(one for one in range(1, most + 1) if width % one == 0 and one * one <= width)
    return smaller, width // smaller


def count_lokr(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count the two factors of each update, as low-rank pairs where these are smaller."""
    return model.layers * sum(_lokr_weights(values, linear) for linear in targets)


def _lokr_weights(values: Values, linear: Linear) -> int:
    rank, factor = whole(values, "r"), whole(values, "decompose_factor")
    out_small, out_large = _factors_of(linear.d_out, factor)
    in_small, in_large = _factors_of(linear.d_in, factor)
    first, second = out_small * in_small, out_large * in_large
    splits_first = rank < greatest(out_small, in_small) / 2
    split = where(splits_first, rank * (out_small + in_small), first)
    splits_second = rank < greatest(out_large, in_large) / 2
    return where(values["decompose_both"], split, first) + where(
        splits_second, rank * (out_large + in_large), second
    )


def _factors_of(width: int, factor: int) -> tuple[int, int]:
    return for_each(lambda one: two_factors(width, int(one)), factor)


def count_glora(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count what scales and shifts the weights, and where there is a bias what moves it."""
    biased, rank = tuple(t for t in targets if t.bias), whole(values, "r")
    d_in = sum(t.d_in for t in biased)
    moves = {"lora": rank * (d_in + len(biased)), "vector": d_in}
    scales, shifts = (
        pick(values[name], _glora_ways(rank, of))
        for name, of in (("config_A_B", targets), ("config_D_E", biased))
    )
    return model.layers * (2 * scales + pick(values["config_C"], moves) + 2 * shifts)


def _glora_ways(rank: int, targets: Targets) -> Mapping[str, int]:
    return {
        "lora": rank * sum(t.d_in + t.d_out for t in targets),
        "vector": sum(t.d_out for t in targets),
        "constant": len(targets),
    }


def freeze_glora(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count zeros that stand for what a linear without a bias has not."""
    del values
    return model.layers * sum(0 if t.bias else t.d_in + 2 * t.d_out for t in targets)


def multiply_loha(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Multiply two pairs of factors, and their gradients."""
    return 16 * whole(values, "r") * weights_of(targets, model)


def multiply_hira(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Multiply the factors, and their gradients."""
    return 6 * whole(values, "r") * weights_of(targets, model)


LOHA = MethodSpec(
    name="loha",
    title="LoHa, low-rank Hadamard products",
    target="peft.LoHaConfig",
    parameters=(RANK, ALPHA),
    trainable=count_two,
    activation_floats=keep_input,
    shared_floats=keep_input,
    step_floats=rebuild_once,
    token_flops=beside_the_base,
    step_flops=multiply_loha,
    factor_products=0.0,
    operations=40,
    weight_passes=24.0,
    rate_factor=1.0,
    rate_source="PEFT's method comparison trains it at LoRA's rate",
    conditions=(at_most_the_width("r"), plain_linears),
    no_lora="its update, a product element by element, has a rank of up to r squared",
    paper="arXiv:2108.06098",
)
LOKR = MethodSpec(
    name="lokr",
    title="LoKr, low-rank Kronecker products",
    target="peft.LoKrConfig",
    parameters=(
        RANK,
        ALPHA,
        Categorical(name="decompose_both", choices=(False, True)),
        Categorical(name="decompose_factor", choices=(-1, 4, 8, 16)),
    ),
    trainable=count_lokr,
    activation_floats=keep_input,
    shared_floats=keep_input,
    step_floats=rebuild_once,
    token_flops=beside_the_base,
    factor_products=0.0,
    operations=33,
    weight_passes=14.0,
    rate_factor=3.0,
    rate_source="PEFT's method comparison has it at 1e-4, LoRA's rate, and better at 3e-3; our "
    "choice between",
    conditions=(at_most_the_width("r"), plain_linears),
    no_lora="its update, a Kronecker product, can have any rank",
    paper="arXiv:2309.14859",
)
HIRA = MethodSpec(
    name="hira",
    title="HiRA, Hadamard high-rank adaptation",
    target="peft.HiraConfig",
    injector="training_worker.tuners.transposed.add_hira",
    parameters=(RANK, Float(name="hira_dropout", lower=0.0, upper=0.3, default=0.0)),
    trainable=count_lora,
    activation_floats=keep_hira,
    shared_floats=share_hira,
    step_floats=rebuild_once,
    token_flops=beside_the_base,
    step_flops=multiply_hira,
    factor_products=0.0,
    operations=30,
    weight_passes=12.0,
    rate_factor=16.0,
    rate_source="PEFT's method comparison trains it at 4.5e-3 where LoRA takes 1e-4 to 3e-4",
    conditions=(at_most_the_width("r"),),
    no_lora="its update is a product with the base weights, of their rank",
    quantizations=("int8", "nf4"),
    paper="https://openreview.net/forum?id=TwJrTz9cRS",
)
GLORA = MethodSpec(
    name="glora",
    title="GLoRA, generalised LoRA",
    target="peft.GloraConfig",
    parameters=(
        RANK,
        Categorical(name="config_A_B", choices=("lora", "vector", "constant")),
        Categorical(name="config_C", choices=("lora", "vector")),
        Categorical(name="config_D_E", choices=("constant", "vector")),
    ),
    trainable=count_glora,
    frozen_numbers=freeze_glora,
    activation_floats=keep_input,
    shared_floats=keep_input,
    step_floats=rebuild_once,
    token_flops=beside_the_base,
    factor_products=0.0,
    operations=36,
    weight_passes=21.0,
    in_model_precision=True,
    rate_factor=2.0,
    rate_source="PEFT's method comparison trains it at 1e-4 to 5e-4, LoRA at 1e-4 to 3e-4",
    conditions=(at_most_the_width("r"), plain_linears),
    no_lora="it scales the base weights too",
    paper="arXiv:2306.07967",
)
ENTRIES = (LOHA, LOKR, HIRA, GLORA)
