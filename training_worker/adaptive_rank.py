"""AdaLoRA's share in a training step: its penalty, and the ranks that it gives and takes.

Axes: r rank.
"""

from collections.abc import Iterator
from typing import Any

import peft
import torch
from peft.tuners.adalora import AdaLoraModel
from peft.tuners.adalora.layer import AdaLoraLayer

from training_worker.setting import Setting

ADAPTER = "default"


def add_adalora(model: Any, config: Any, setting: Setting) -> Any:
    """Return the model with AdaLoRA on it.

    On a base in bf16 PEFT 0.21.2 makes the rank, by which updates are scaled, a weight to train,
    and does not save it.
    """
    del setting
    adapted = peft.get_peft_model(model, config)
    for layer in _layers(adapted):
        layer.ranknum[ADAPTER].requires_grad = False
    return adapted


def orthogonality(model: Any) -> torch.Tensor:
    """Return AdaLoRA's weighted distance of all A A^T and B^T B from the identity.

    PEFT adds it to a loss that the model computes itself, which ours does not.

    Paper: Zhang et al., arXiv:2303.10512, equation 4; the mean over matrices is PEFT's.
    """
    factors = [
        one
        for layer in _layers(model)
        for one in (layer.lora_A[ADAPTER], layer.lora_B[ADAPTER].T)
        if len(one)
    ]
    distances = [torch.linalg.matrix_norm(one @ one.T - _identity(one)) for one in factors]
    weight: float = model.peft_config[ADAPTER].orth_reg_weight
    return weight * torch.stack(distances).mean()


def allocate(model: Any, step: int) -> None:
    """Let AdaLoRA take ranks away after a step, while its gradients are there.

    The first step forgets what an earlier first step, as of a rehearsal, has noted.
    """
    if not _is_adalora(model):
        return
    tuner: Any = model.base_model
    if step == 1:
        tuner.rankallocator.reset_ipt()
        model.peft_config[ADAPTER].rank_pattern = None
    tuner.update_and_allocate(step)


def settle(model: Any) -> None:
    """Have the ranks that the weights have now be those that are saved.

    A checkpoint of an earlier step can have more of them than the last step left.
    """
    if not _is_adalora(model):
        return
    model.peft_config[ADAPTER].rank_pattern = {
        f"{name}.lora_E": _left(layer.lora_E[ADAPTER])
        for name, layer in model.base_model.model.named_modules()
        if isinstance(layer, AdaLoraLayer)
    }


def _left(strengths: torch.Tensor) -> list[bool]:
    """Say which ranks are left; where none is, one of strength 0 stays, as PEFT saves none."""
    left: list[bool] = (strengths != 0).view(-1).tolist()
    return left if any(left) else [True, *left[1:]]


def _is_adalora(model: Any) -> bool:
    return isinstance(getattr(model, "base_model", None), AdaLoraModel)


def _layers(model: Any) -> Iterator[Any]:
    return (one for one in model.modules() if isinstance(one, AdaLoraLayer))


def _identity(factor: torch.Tensor) -> torch.Tensor:
    return torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
