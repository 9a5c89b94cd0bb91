"""What the arithmetic of costs reads of a configuration: one's numbers, or columns of many.

Annotations name the number (`metadata.elementwise`). Columns hold, where the table entry of the
method or optimizer stands, an object with the same attributes as columns.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from metadata.methods import METHODS
from metadata.methods.spec import MethodSpec
from metadata.optimizers import OPTIMIZERS
from metadata.optimizers.spec import Kind, OptimizerSpec
from metadata.parameters import Values, whole
from metadata.records import Configuration

PRECISION_BYTES = {"fp32": 4, "bf16": 2}
# Bytes per weight of a quantised linear: LLM.int8 has a scale per row, NF4 an fp32 one per block
# of 64 (arXiv:2208.07339, arXiv:2305.14314).
QUANTIZED_BYTES = {"int8": 1.0, "nf4": 0.5 + 4 / 64}
# Forward passes of a step that needs no gradients.
FORWARD_PASSES: Mapping[Kind, int] = {"gradient": 0, "zeroth_order": 2, "population": 1}


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What is read of configurations whatever the model.

    `forward_passes` is 0 where a step has a backward pass; `rank` is 0 where a method has none.
    """

    method: MethodSpec
    virtual_tokens: int
    cast_weights: float
    token_flops: float
    rank: int
    state_bytes: float
    is_factored: bool
    forward_passes: int
    is_fp32: bool
    width_bytes: int
    linear_bytes: float  # a weight of a linear
    is_quantized: bool
    asks_sdpa: bool
    asks_eager: bool
    gradient_checkpointing: bool
    batch_size: int
    epochs: float
    max_length_tokens: int
    packing: bool
    learns_all: bool


def _optimizer(configuration: Configuration) -> OptimizerSpec:
    return OPTIMIZERS[configuration.optimizer.name]


def _linear_bytes(configuration: Configuration) -> float:
    width = PRECISION_BYTES[configuration.precision]
    return QUANTIZED_BYTES.get(configuration.quantization, width)


def _is_checkpointed(configuration: Configuration) -> bool:
    return configuration.gradient_checkpointing and _optimizer(configuration).kind == "gradient"


# Terms that a configuration's choices give, and those that are numbers of its own.
CHOICES = attrgetter(
    "optimizer.name",
    "precision",
    "quantization",
    "attention",
    "gradient_checkpointing",
    "packing",
    "loss_on",
)
OF_CHOICES: Mapping[str, Callable[[Configuration], float]] = {
    "state_bytes": lambda one: _optimizer(one).state_bytes,
    "is_factored": lambda one: _optimizer(one).factored,
    "forward_passes": lambda one: FORWARD_PASSES[_optimizer(one).kind],
    "is_fp32": lambda one: one.precision == "fp32",
    "width_bytes": lambda one: PRECISION_BYTES[one.precision],
    "linear_bytes": _linear_bytes,
    "is_quantized": lambda one: one.quantization != "none",
    "asks_sdpa": lambda one: one.attention == "sdpa",
    "asks_eager": lambda one: one.attention == "eager",
    "gradient_checkpointing": _is_checkpointed,
    "packing": lambda one: one.packing,
    "learns_all": lambda one: one.loss_on == "all",
}
NUMBERS = ("batch_size", "epochs", "max_length_tokens")
# Terms that a method's values give, whatever the model.
OF_VALUES: Mapping[str, Callable[[MethodSpec, Values], float]] = {
    "virtual_tokens": lambda spec, values: spec.virtual_tokens(values),
    "cast_weights": lambda spec, values: spec.cast_weights(values),
    "token_flops": lambda spec, values: spec.token_flops(values),
    "rank": lambda spec, values: whole(values, "r") if "r" in values else 0,
}


def terms_of_values(spec: MethodSpec, values: Values) -> dict[str, Any]:
    """Return those terms, of one configuration's values or of columns."""
    return {name: term(spec, values) for name, term in OF_VALUES.items()}


def read(configuration: Configuration) -> Terms:
    """Return the terms of one configuration."""
    spec = METHODS[configuration.method.name]
    of_values = terms_of_values(spec, configuration.method.values)
    of_choices: dict[str, Any] = {name: term(configuration) for name, term in OF_CHOICES.items()}
    numbers: dict[str, Any] = {name: getattr(configuration, name) for name in NUMBERS}
    return Terms(method=spec, **of_values, **of_choices, **numbers)
