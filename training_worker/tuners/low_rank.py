"""What the low-rank methods of our own share: W + scale * B A.

Axes: A (r, d_in), B (d_out, r).
"""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from training_worker.tuners.layers import Pair, TunerLayer
from training_worker.tuners.models import TunerConfig, TunerModel

Factors = tuple[Tensor, Tensor, float]
"""A, B and what their product is scaled by."""


@dataclass
class LowRankConfig(TunerConfig):
    """Rank, scale and dropout, named and meant as in `peft.LoraConfig`.

    Attributes:
        r: The rank.
        lora_alpha: The update is scaled by lora_alpha / r.
        lora_dropout: Share of the input that A does not see in a training step.
        fan_in_fan_out: Whether weights are (d_in, d_out), as in GPT-2; found by itself.
    """

    r: int = 8
    lora_alpha: int | float = 16
    lora_dropout: float = 0.0
    fan_in_fan_out: bool = False

    def __post_init__(self) -> None:
        """Refuse a rank below 1 and a dropout that drops all."""
        super().__post_init__()
        self.require_whole("r", 1)
        if not 0 <= self.lora_dropout < 1:
            raise ValueError(f"`lora_dropout` must be in [0, 1), got {self.lora_dropout!r}.")


class LowRankLayer(TunerLayer):
    """A linear map with low-rank updates, each of which may add to its bias too."""

    @abstractmethod
    def lora_factors(self, adapter: str) -> Factors:
        """Return the factors of an adapter's update as those of a plain LoRA adapter.

        Raises:
            ValueError: It is more than a plain LoRA adapter can say.
        """

    def factors(self, adapter: str) -> tuple[Factors, Tensor | None]:
        """Return the factors, and what is added to A's output if anything, shape (r,)."""
        return self.lora_factors(adapter), None

    def adapt(self, result: Tensor, x: Tensor, adapter: str) -> Tensor:
        """Return the result with one update's output added to it."""
        (a, b, scaling), shift = self.factors(adapter)
        x = self._cast_input_dtype(x, a.dtype)
        kept = functional.dropout(x, self.settings[adapter].lora_dropout, self.training)
        return result + functional.linear(functional.linear(kept, a, shift), b) * scaling

    def merge_one(self, weight: Tensor, bias: Tensor | None, adapter: str) -> Pair:
        """Return W + scale * B A, and a bias that has B's part of A's shift in it."""
        (a, b, scaling), shift = self.factors(adapter)
        delta = scaling * (b.to(weight.dtype) @ a.to(weight.dtype))
        if shift is not None:
            added = scaling * (b.to(weight.dtype) @ shift.to(weight.dtype))
            bias = added if bias is None else bias + added
        return weight + (delta if self.layout.weight_axis == 0 else delta.T), bias

    def get_delta_weight(self, adapter: str) -> Tensor:
        """Return the update in the shape of the module's weight."""
        weight: Any = self.get_base_layer().weight
        zero = torch.zeros_like(weight, dtype=torch.float32)
        with torch.no_grad():
            return self.merge_one(zero, None, adapter)[0]

    def first_a(self, config: LowRankConfig) -> Tensor:
        """Return A as LoRA starts it."""
        return uniform(config.r, self.in_features)

    def first_b(self, config: LowRankConfig) -> Tensor:
        """Return B as LoRA starts it: zero, so that the output is the base model's."""
        if config.init_weights:
            return torch.zeros(self.out_features, config.r)
        return uniform(self.out_features, config.r)


class LowRankModel(TunerModel):
    """A base model with low-rank updates of its linear maps."""

    def _create_and_replace(
        self, peft_config: Any, adapter_name: str, target: nn.Module, *args: Any, **kwargs: Any
    ) -> None:
        base = target.get_base_layer() if isinstance(target, LowRankLayer) else target
        peft_config.fan_in_fan_out = isinstance(base, Conv1D)
        super()._create_and_replace(peft_config, adapter_name, target, *args, **kwargs)


def uniform(*shape: int) -> Tensor:
    """Return LoRA's random numbers: Kaiming's for a = sqrt(5), that is within 1 / sqrt(inputs)."""
    return nn.init.kaiming_uniform_(torch.empty(*shape), a=math.sqrt(5))
