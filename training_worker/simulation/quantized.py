"""Linears of a quantised base on fakes: the bytes that they hold, and what a pass makes of them.

As bitsandbytes does it, weights are made whole for each product, forward and backward.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from metadata.errors import InvalidConfiguration
from metadata.records import Quantization

NF4_BLOCK = 64  # weights that share a scale, in bitsandbytes' default
NOTE = "the base's linears hold quantised bytes and are made whole for each product: approximate"


class QuantizedLinear(nn.Linear):
    """A linear that holds packed numbers and their scales."""

    def __init__(self, linear: nn.Linear, quantization: Quantization) -> None:
        """Take the place of a linear."""
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        count = linear.weight.numel()
        is_nf4 = quantization == "nf4"
        shape = (-(-count // 2), 1) if is_nf4 else tuple(linear.weight.shape)
        packed = torch.empty(shape, dtype=torch.uint8 if is_nf4 else torch.int8)
        self.weight = nn.Parameter(packed, requires_grad=False)
        scales = -(-count // NF4_BLOCK) if is_nf4 else linear.out_features
        self.register_buffer("scales", torch.empty(scales, dtype=torch.float32))
        self.bias = linear.bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the product with the weight made whole."""
        shape = (self.out_features, self.in_features)
        output: torch.Tensor = _Product.apply(inputs, shape)  # type: ignore[no-untyped-call]
        return output if self.bias is None else output + self.bias


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        ctx.shape = shape
        return functional.linear(inputs, inputs.new_zeros(shape))

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient @ gradient.new_zeros(ctx.shape), None


def quantize(model: nn.Module, quantization: Quantization) -> None:
    """Put quantised linears in the place of all but the output's, as transformers does.

    Raises:
        InvalidConfiguration: The model has linears of another kind.
    """
    if quantization == "none":
        return
    head = model.get_output_embeddings()  # type: ignore[operator]  # it is a model of transformers
    for name, module in list(model.named_modules()):
        if isinstance(module, Conv1D):
            raise InvalidConfiguration(
                f"A quantised base is simulated where its layers are linears; {name} is a "
                "Conv1D. Set quantization to none.",
                param="quantization",
            )
        if isinstance(module, nn.Linear) and module is not head:
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, QuantizedLinear(module, quantization))
