"""BitFit: train the biases of the targeted maps and nothing else.

The adapter is what is added to each bias, so that the base stays as it is. Most decoders of today
have no biases: a map without one learns one from zero.

Paper: Ben Zaken, Goldberg, Ravfogel (arXiv:2106.10199), who train the biases that BERT has; those
of maps without one are ours.
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


@dataclass
class BitFitConfig(TunerConfig):
    """Nothing but the targets."""

    method: ClassVar[str] = "bitfit"


class BitFitLinear(TunerLayer):
    """A linear map with changes of its bias."""

    adapter_layer_names = ("bitfit_bias",)
    bitfit_bias: nn.ParameterDict

    def start(self, config: BitFitConfig) -> Mapping[str, Tensor]:
        """Return a change of zero."""
        draw = torch.zeros if config.init_weights else torch.randn
        return {"bitfit_bias": draw(self.out_features)}

    def adapt(self, result: Tensor, x: Tensor, adapter: str) -> Tensor:
        """Return the result with the change of the bias added."""
        del x
        change: Tensor = self.bitfit_bias[adapter]
        return result + change

    def merge_one(self, weight: Tensor, bias: Tensor | None, adapter: str) -> Pair:
        """Return the weight as it is and the changed bias, or the change where there is none."""
        change = self.bitfit_bias[adapter].to(weight.dtype)
        return weight, change.clone() if bias is None else bias + change


class BitFitModel(TunerModel):
    """A base model with changes of its biases."""

    prefix = "bitfit_"
    tuner_layer_cls = BitFitLinear
    layer_types: ClassVar = {nn.Linear: BitFitLinear, Conv1D: BitFitLinear}


register("bitfit", BitFitConfig, BitFitModel)
