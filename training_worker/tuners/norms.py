"""Norm tuning in fp32 on a base of any precision.

PEFT trains copies of the norms in the model's precision. Around 1, where their weights are, bf16
has steps of 1/128, and a usual rate would move none of them.
"""

from typing import Any

import peft
import torch
from peft.tuners.ln_tuning.layer import LNTuningLayer
from torch import nn

from training_worker.setting import Setting

ADAPTER = "default"


def add_norms(model: Any, config: Any, setting: Setting) -> Any:
    """Return the model with copies of its norms to train, in fp32."""
    del setting
    adapted = peft.get_peft_model(model, config)
    for module in adapted.modules():
        if isinstance(module, LNTuningLayer):
            norm = module.ln_tuning_layers[ADAPTER]
            _keep_precision(norm, model.dtype)
            norm.float()
    return adapted


def norm_names(model: Any) -> list[str]:
    """Return the ends of the names of all norms with weights, each once."""
    found = (name for name, module in model.named_modules() if is_norm(module))
    return sorted({name.rpartition(".")[2] for name in found})


def is_norm(module: nn.Module) -> bool:
    """Say whether a module is a norm with weights: each family of transformers has its own."""
    return type(module).__name__.endswith("Norm") and any(True for _ in module.parameters(False))


def _keep_precision(norm: nn.Module, dtype: torch.dtype) -> None:
    """Have a norm work in its weights' precision and answer in the model's."""

    def enter(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return inputs[0].to(next(module.parameters()).dtype), *inputs[1:]

    def leave(module: nn.Module, inputs: object, output: torch.Tensor) -> torch.Tensor:
        del module, inputs
        return output.to(dtype)

    norm.register_forward_pre_hook(enter)
    norm.register_forward_hook(leave)
