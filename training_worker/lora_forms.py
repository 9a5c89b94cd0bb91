"""Which low-rank factors a PEFT layer's update is made of, for those where it is exact.

Axes: r rank, D inputs.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from peft.tuners.adalora.layer import AdaLoraLayer
from peft.tuners.delora.layer import DeloraLayer
from peft.tuners.lora import LoraLayer
from peft.tuners.miss.layer import MissLayer
from peft.tuners.vblora.layer import VBLoRALayer
from peft.tuners.vera.layer import VeraLayer

Factors = tuple[torch.Tensor, torch.Tensor, float]
ADAPTER = "default"
RANK_GUARD = 1e-5  # PEFT's, in what AdaLoRA's scale is divided by
SMALLEST_NORM = 1e-4  # PEFT's, of DeLoRA's vectors


def of_lora(layer: Any) -> Factors:
    """Return A, B and alpha / r."""
    return layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight, layer.scaling[ADAPTER]


def of_adalora(layer: Any) -> Factors:
    """Return E A, B and alpha over the first rank."""
    scaling = layer.scaling[ADAPTER] / (float(layer.ranknum[ADAPTER]) + RANK_GUARD)
    return layer.lora_A[ADAPTER] * layer.lora_E[ADAPTER], layer.lora_B[ADAPTER], scaling


def of_delora(layer: Any) -> Factors:
    """Return A by the inputs' weight norms, B with columns of the layer's strength."""
    a, b = layer.delora_A[ADAPTER], layer.delora_B[ADAPTER]
    norms = a.norm(dim=1).clamp(SMALLEST_NORM) * b.norm(dim=0).clamp(SMALLEST_NORM)
    strengths = layer.delora_lambda[ADAPTER] / layer.r[ADAPTER] / norms
    return a * layer.delora_w_norm[ADAPTER], b * strengths, 1.0


def of_miss(layer: Any) -> Factors:
    """Return which shard an input is summed into, and the shared shard."""
    shard = layer.miss_block[ADAPTER]
    rank = len(shard)
    is_in_rD = torch.arange(rank)[:, None] == torch.arange(layer.in_features) % rank
    repeats = layer.out_features // shard.shape[1]
    return is_in_rD.to(shard), shard.repeat(1, repeats).T, 1.0


def of_vblora(layer: Any) -> Factors:
    """Return the factors put together from the vector bank."""
    a, b = layer._get_lora_matrices(ADAPTER)
    return a, b, 1.0


def of_vera(layer: Any) -> Factors:
    """Return the parts of the shared factors that this layer uses, scaled by its vectors."""
    a = layer.vera_A[ADAPTER][:, : layer.in_features]
    b = layer.vera_B[ADAPTER][: layer.out_features]
    return layer.vera_lambda_d[ADAPTER][:, None] * a, layer.vera_lambda_b[ADAPTER][:, None] * b, 1.0


# The first of which a layer is an instance; AdaLoRA's are LoRA's too.
READERS: Mapping[type, Callable[[Any], Factors]] = {
    AdaLoraLayer: of_adalora,
    LoraLayer: of_lora,
    DeloraLayer: of_delora,
    MissLayer: of_miss,
    VBLoRALayer: of_vblora,
    VeraLayer: of_vera,
}
