"""SSF: each output of a frozen module scaled and shifted by learnt numbers.

y = scale * f(x) + shift. It starts at exactly 1 and 0; the authors draw both, with a standard
deviation of 0.02, as `init_weights=False` does.

Paper: Lian, Zhou, Feng, Wang (arXiv:2210.08823).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from training_worker.tuners.layers import Pair, TunerLayer
from training_worker.tuners.models import TunerConfig, TunerModel
from training_worker.tuners.registration import register

SPREAD = 0.02  # the authors' code


@dataclass
class SsfConfig(TunerConfig):
    """Nothing but the targets."""

    method: ClassVar[str] = "ssf"


class SsfLayer(TunerLayer):
    """A module with scaled and shifted outputs."""

    adapter_layer_names = ("ssf_scale", "ssf_shift")
    ssf_scale: nn.ParameterDict
    ssf_shift: nn.ParameterDict

    def start(self, config: SsfConfig) -> Mapping[str, Tensor]:
        """Return ones and zeros, or the authors' random numbers about them."""
        spread = 0.0 if config.init_weights else SPREAD
        ones, zeros = torch.ones(self.out_features), torch.zeros(self.out_features)
        return {"ssf_scale": torch.normal(ones, spread), "ssf_shift": torch.normal(zeros, spread)}

    def adapt(self, result: Tensor, x: Tensor, adapter: str) -> Tensor:
        """Return the scaled and shifted result."""
        del x
        scale = self.layout.on_result(self.ssf_scale[adapter], result)
        return result * scale + self.layout.on_result(self.ssf_shift[adapter], result)

    def merge_one(self, weight: Tensor, bias: Tensor | None, adapter: str) -> Pair:
        """Return the scaled weight, and the bias that the module has or is now given."""
        scale, shift = (one[adapter].to(weight.dtype) for one in (self.ssf_scale, self.ssf_shift))
        weight = weight * self.layout.on_weight(scale, weight)
        return weight, shift if bias is None else bias * scale + shift


class SsfLinear(SsfLayer):
    """A linear map with scaled and shifted outputs."""


class SsfModel(TunerModel):
    """A base model with scaled and shifted outputs."""

    prefix = "ssf_"
    tuner_layer_cls = SsfLayer
    layer_types: ClassVar = {
        nn.Linear: SsfLinear,
        Conv1D: SsfLinear,
        nn.LayerNorm: SsfLayer,
        nn.Conv2d: SsfLayer,
    }


register("ssf", SsfConfig, SsfModel)
