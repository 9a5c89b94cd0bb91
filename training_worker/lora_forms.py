"""Which low-rank factors a PEFT layer's update is made of, for those where it is exact.

Axes: r rank, D inputs.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from peft.tuners.adalora.layer import AdaLoraLayer
from peft.tuners.deft.layer import DeftLayer
from peft.tuners.delora.layer import DeloraLayer
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.variants import BlockDiagonalLinear
from peft.tuners.miss.layer import MissLayer
from peft.tuners.peanut.layer import PeanutLayer
from peft.tuners.psoft.layer import PsoftLayer
from peft.tuners.pvera.layer import PveraLayer
from peft.tuners.tinylora.layer import TinyLoraLayer
from peft.tuners.unilora.layer import UniLoraLayer
from peft.tuners.vblora.layer import VBLoRALayer
from peft.tuners.vera.layer import VeraLayer
from peft.utils.other import transpose
from torch import nn

Factors = tuple[torch.Tensor, torch.Tensor, float]
ADAPTER = "default"
RANK_GUARD = 1e-5  # PEFT's, in what AdaLoRA's scale is divided by
SMALLEST_NORM = 1e-4  # PEFT's, of DeLoRA's vectors


def of_lora(layer: Any) -> Factors:
    """Return A, B by KaSA's diagonal where there is one, and alpha / r."""
    a, b = _whole(layer.lora_A[ADAPTER]), _whole(layer.lora_B[ADAPTER])
    if hasattr(layer, "lora_diag"):
        b = b * layer.lora_diag[ADAPTER]
    return a, b, layer.scaling[ADAPTER]


def _whole(linear: Any) -> torch.Tensor:
    is_blocks = isinstance(linear, BlockDiagonalLinear)
    weight: torch.Tensor = linear.weight_as_blockdiagonal_matrix() if is_blocks else linear.weight
    return weight


def of_deft(layer: Any) -> Factors:
    """Return what is injected less what is removed of the base, and the projection."""
    base = transpose(layer.get_base_layer().weight.float(), layer.fan_in_fan_out)
    q, right = layer._project(layer.deft_P[ADAPTER], ADAPTER)
    return layer.deft_R[ADAPTER] * layer.deft_scaling[ADAPTER] - right.T @ base, q, 1.0


def of_peanut(layer: Any) -> Factors:
    """Return what the layers make of the base weights, and what writes it.

    The update is linear in what writes it, so that with the identity in its place PEFT's own code
    gives the factor.
    """
    writes = layer.peanut_B[ADAPTER]
    layer.peanut_B[ADAPTER] = nn.Identity()
    try:
        a = layer.get_delta_weight(ADAPTER)
    finally:
        layer.peanut_B[ADAPTER] = writes
    return a, writes.weight, 1.0


def of_pvera(layer: Any) -> Factors:
    """Return the factors of the mean, which is what speaks when nothing is sampled."""
    rank = layer.r[ADAPTER]
    a = layer.pvera_A[ADAPTER][:rank, : layer.in_features]
    b = layer.pvera_B[ADAPTER][: layer.out_features]
    scales = layer.pvera_lambda_d[ADAPTER][:rank, None]
    return scales * a, layer.pvera_lambda_b[ADAPTER][:, None] * b, 1.0


def of_tinylora(layer: Any) -> Factors:
    """Return the singular vectors with the mixing of them in B."""
    mix = layer._compute_R(ADAPTER)
    return layer.tinylora_A[ADAPTER], layer.tinylora_B[ADAPTER].to(mix) @ mix, 1.0


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
    """Return the factors put together from what all layers share."""
    a, b = layer._get_lora_matrices(ADAPTER)
    return a, b, 1.0


def of_psoft(layer: Any) -> Factors:
    """Return the singular vectors, with what the rotation moves of them in B."""
    a, b = layer._get_psoft_ab_cache_buffers(ADAPTER)
    rotation = layer.psoft_R[ADAPTER].get_matrix()
    moved = rotation - torch.eye(len(rotation), device=rotation.device)
    return a.float(), b.float() @ moved.float(), layer.scaling[ADAPTER]


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
    DeftLayer: of_deft,
    PeanutLayer: of_peanut,
    PsoftLayer: of_psoft,
    PveraLayer: of_pvera,
    TinyLoraLayer: of_tinylora,
    UniLoraLayer: of_vblora,
    VBLoRALayer: of_vblora,
    VeraLayer: of_vera,
}
