"""Propulsion: each output of a frozen map, its bias included, times a learnt scalar to a power.

y = (x W' + b) z^degree, with z = 1 at the start.

Paper: Kowsher, Prottasha, Bhat (arXiv:2409.10927).
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
class PropulsionConfig(TunerConfig):
    """The power, and whether biases are trained.

    Attributes:
        degree: The power, a whole number: z may become negative. It multiplies z's gradient.
        train_biases: Whether maps that have a bias learn what to add to it, as in the authors'
            library; the paper's counts are without.
    """

    method: ClassVar[str] = "propulsion"

    degree: int = 15
    train_biases: bool = False

    def __post_init__(self) -> None:
        """Refuse a power that is no whole number from 1 to 55, the authors' largest."""
        super().__post_init__()
        self.require_whole("degree", 1, 55)


class PropulsionLayer(TunerLayer):
    """A module with scaled outputs."""

    adapter_layer_names = ("propulsion_z", "propulsion_bias")
    propulsion_z: nn.ParameterDict
    propulsion_bias: nn.ParameterDict

    def start(self, config: PropulsionConfig) -> Mapping[str, Tensor]:
        """Return z at 1 and, where biases are trained, a change of zero."""
        z = torch.ones(self.out_features)
        started = {"propulsion_z": z if config.init_weights else torch.normal(z, 0.02)}
        if config.train_biases and getattr(self.get_base_layer(), "bias", None) is not None:
            started["propulsion_bias"] = torch.zeros(self.out_features)
        return started

    def scales(self, adapter: str) -> Tensor:
        """Return what the outputs are multiplied by, shape (d_out,)."""
        z: Tensor = self.propulsion_z[adapter]
        return z.pow(self.settings[adapter].degree)

    def adapt(self, result: Tensor, x: Tensor, adapter: str) -> Tensor:
        """Return the scaled result."""
        del x
        if adapter in self.propulsion_bias:
            result = result + self.layout.on_result(self.propulsion_bias[adapter], result)
        return result * self.layout.on_result(self.scales(adapter), result)

    def merge_one(self, weight: Tensor, bias: Tensor | None, adapter: str) -> Pair:
        """Return the weight and the bias with their outputs scaled."""
        scales = self.scales(adapter).to(weight.dtype)
        weight = weight * self.layout.on_weight(scales, weight)
        if bias is None:
            return weight, None
        if adapter in self.propulsion_bias:
            bias = bias + self.propulsion_bias[adapter]
        return weight, bias * scales


class PropulsionLinear(PropulsionLayer):
    """A linear map with scaled outputs."""


class PropulsionEmbedding(PropulsionLayer):
    """A table whose looked-up rows are scaled; a head that is tied to it is not."""


class PropulsionModel(TunerModel):
    """A base model with scaled outputs."""

    prefix = "propulsion_"
    tuner_layer_cls = PropulsionLayer
    layer_types: ClassVar = {
        nn.Linear: PropulsionLinear,
        Conv1D: PropulsionLinear,
        nn.Embedding: PropulsionEmbedding,
    }


register("propulsion", PropulsionConfig, PropulsionModel)
