"""B-only LoRA: A stays as it was drawn, and only B is trained.

The frozen A is saved with the adapter: a reload is exact on any machine. No input need be kept
for A's gradient, only A's output, r numbers.

Paper: Zhu et al. (arXiv:2402.16842); LoRA-FA (arXiv:2308.03303) is the same for memory's sake.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from peft.tuners._buffer_dict import BufferDict
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from training_worker.tuners.low_rank import Factors, LowRankConfig, LowRankLayer, LowRankModel
from training_worker.tuners.registration import register


@dataclass
class BOnlyConfig(LowRankConfig):
    """LoRA's values."""

    method: ClassVar[str] = "b_only_lora"


class BOnlyLinear(LowRankLayer):
    """A linear map with low-rank updates whose A is a buffer."""

    adapter_layer_names = ("b_only_B",)
    buffer_names = ("b_only_A",)
    other_param_names = ("settings", *buffer_names)
    b_only_A: BufferDict
    b_only_B: nn.ParameterDict

    def start(self, config: BOnlyConfig) -> Mapping[str, Tensor]:
        """Return A at random and B at zero."""
        return {"b_only_A": self.first_a(config), "b_only_B": self.first_b(config)}

    def lora_factors(self, adapter: str) -> Factors:
        """Return A, B and alpha / r."""
        config = self.settings[adapter]
        return self.b_only_A[adapter], self.b_only_B[adapter], config.lora_alpha / config.r


class BOnlyModel(LowRankModel):
    """A base model with low-rank updates whose A is frozen."""

    prefix = "b_only_"
    tuner_layer_cls = BOnlyLinear
    layer_types: ClassVar = {nn.Linear: BOnlyLinear, Conv1D: BOnlyLinear}


register("b_only_lora", BOnlyConfig, BOnlyModel)
