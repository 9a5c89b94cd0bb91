"""What the arithmetic of costs reads of a configuration: one's numbers, or columns of many.

Annotations name the number (`metadata.elementwise`). Columns hold, where the table entry of the
method or optimizer stands, an object with the same attributes as columns.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from metadata.methods import METHODS
from metadata.methods.spec import MethodSpec
from metadata.optimizers import OPTIMIZERS
from metadata.optimizers.spec import Kind
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


def read(configuration: Configuration) -> Terms:
    """Return the terms of one configuration."""
    spec, values = METHODS[configuration.method.name], configuration.method.values
    optimizer, rank = OPTIMIZERS[configuration.optimizer.name], values.get("r")
    width, passes = PRECISION_BYTES[configuration.precision], FORWARD_PASSES[optimizer.kind]
    return Terms(
        method=spec,
        virtual_tokens=spec.virtual_tokens(values),
        cast_weights=spec.cast_weights(values),
        token_flops=spec.token_flops(values),
        rank=rank if isinstance(rank, int) else 0,
        state_bytes=optimizer.state_bytes,
        is_factored=optimizer.factored,
        forward_passes=passes,
        is_fp32=configuration.precision == "fp32",
        width_bytes=width,
        linear_bytes=QUANTIZED_BYTES.get(configuration.quantization, width),
        is_quantized=configuration.quantization != "none",
        asks_sdpa=configuration.attention == "sdpa",
        asks_eager=configuration.attention == "eager",
        gradient_checkpointing=configuration.gradient_checkpointing and passes == 0,
        batch_size=configuration.batch_size,
        epochs=configuration.epochs,
        max_length_tokens=configuration.max_length_tokens,
        packing=configuration.packing,
        learns_all=configuration.loss_on == "all",
    )
