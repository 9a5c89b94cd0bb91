"""What a method keeps in its model beside the weights to train, and changes while it trains."""

from collections.abc import Iterator
from typing import Any

import torch
from peft.tuners.adalora import AdaLoraModel

from training_worker.adaptive_rank import ADAPTER
from training_worker.resuming.states import State

IMPORTANCES = ("ipt", "exp_avg_ipt", "exp_avg_unc")  # of AdaLoRA's weights, as PEFT names them


def module_state(model: Any) -> State:
    """Return the buffers of a model, and what AdaLoRA knows of its ranks."""
    buffers = {name: buffer.detach().to("cpu", copy=True) for name, buffer in _buffers(model)}
    return {"buffers": buffers, "ranks": _ranks(model)}


def restore_module(model: Any, state: State) -> None:
    """Put back what `module_state` gave, into a model built as that one was."""
    with torch.no_grad():
        for name, buffer in _buffers(model):
            buffer.copy_(state["buffers"][name])
    if state["ranks"] is not None:
        allocator = model.base_model.rankallocator
        for name in IMPORTANCES:
            setattr(allocator, name, _on(model.device, state["ranks"][name]))
        model.peft_config[ADAPTER].rank_pattern = state["ranks"]["pattern"]


def _ranks(model: Any) -> State | None:
    if not isinstance(getattr(model, "base_model", None), AdaLoraModel):
        return None
    allocator = model.base_model.rankallocator
    importances = {name: dict(getattr(allocator, name)) for name in IMPORTANCES}
    return {**importances, "pattern": model.peft_config[ADAPTER].rank_pattern or None}


def _buffers(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    return (one for one in model.named_buffers() if one[1].device.type != "meta")


def _on(device: torch.device, tensors: State) -> State:
    return {name: tensor.to(device) for name, tensor in tensors.items()}
