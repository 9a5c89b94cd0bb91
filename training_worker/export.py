"""The forms in which a trained model is saved: an adapter, merged weights, a plain LoRA adapter.

Axes: r rank.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import peft
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import save_file

from metadata.checks import check_serving
from metadata.errors import InvalidConfiguration
from metadata.methods.spec import Serving
from metadata.records import Configuration
from training_worker.adapter_files import WEIGHTS_FILE
from training_worker.adaptive_rank import settle
from training_worker.lora_forms import ADAPTER, READERS, Factors


def save(
    model: Any, configuration: Configuration, folder: Path, *, serve_with: Serving | None
) -> None:
    """Write what was trained into an empty folder, as safetensors and JSON.

    Args:
        model: The trained model.
        configuration: How it was trained.
        folder: There, and empty.
        serve_with: What is to load it. None: PEFT where the method leaves an adapter, else
            anything that loads the whole model.

    Raises:
        InvalidConfiguration: The method's result cannot take that form.
    """
    check_serving(configuration, serve_with)
    is_adapter = isinstance(model, peft.PeftModel)
    if serve_with == "merged" or not is_adapter:
        merged = merge(model, configuration) if is_adapter else model
        merged.save_pretrained(str(folder))
    elif serve_with == "vllm" or needs_lora_form(model):
        save_lora(model, folder)
    else:
        settle(model)
        # embeddings are never trained whole here, and looking them up would ask the network
        model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)


def merge(model: Any, configuration: Configuration) -> Any:
    """Return the base model with the adapter's update in its own weights; the adapter is gone.

    Raises:
        InvalidConfiguration: The method has no merge, or a merged weight is not finite.
    """
    check_serving(configuration, "merged")
    precision = model.dtype
    try:
        return _in_one_precision(model.merge_and_unload(safe_merge=True), precision)
    except ValueError as error:
        raise InvalidConfiguration(
            f"method.name: merging must give finite weights; PEFT refused: {error}. Serve the "
            "adapter as it is, or train at a lower rate.",
            param="method.name",
        ) from error


def _in_one_precision(model: Any, precision: torch.dtype) -> Any:
    """Return the same model with what was trained in fp32 in the precision of the others."""
    for weight in model.parameters():
        if weight.dtype == torch.float32:
            weight.data = weight.data.to(precision)
    return model


def needs_lora_form(model: Any) -> bool:
    """Say whether the adapter makes sense only as plain LoRA: its start moved the base's weights.

    The worker keeps that start as `initial_adapter`: by module name, the factors it began with.
    """
    return hasattr(model, "initial_adapter")


def save_lora(model: Any, folder: Path) -> None:
    """Write a plain LoRA adapter of the same function, which PEFT and vLLM load by themselves.

    All layers have the rank of the largest, filled up with zeros: vLLM knows one rank only.
    """
    initial: Mapping[str, Factors] = getattr(model, "initial_adapter", {})
    found = {
        name: _less(factors_of(module), initial.get(name))
        for name, module in model.base_model.model.named_modules()
        if isinstance(module, BaseTunerLayer)
    }
    rank = max(a.shape[0] for a, _ in found.values())
    tensors = {}
    for name, (a, b) in found.items():
        filled = rank - a.shape[0]
        key = f"base_model.model.{name}"
        tensors[f"{key}.lora_A.weight"] = torch.nn.functional.pad(a, (0, 0, 0, filled))
        tensors[f"{key}.lora_B.weight"] = torch.nn.functional.pad(b, (0, filled))
    own = model.peft_config[ADAPTER]
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=rank,
        target_modules=sorted(found),
        fan_in_fan_out=bool(getattr(own, "fan_in_fan_out", False)),
        task_type="CAUSAL_LM",
        base_model_name_or_path=own.base_model_name_or_path,
        inference_mode=True,
    )
    config.save_pretrained(str(folder))
    weights = {name: one.contiguous().cpu() for name, one in tensors.items()}
    save_file(weights, folder / WEIGHTS_FILE)


def factors_of(module: BaseTunerLayer) -> tuple[torch.Tensor, torch.Tensor]:
    """Return A (r, d_in) and B (d_out, r) in fp32 with B A the layer's whole update.

    A layer of our own says its factors by `lora_factors(adapter) -> (A, B, scaling)`.
    """
    own: Callable[[str], Factors] | None = getattr(module, "lora_factors", None)
    if own is not None:
        a, b, scaling = own(ADAPTER)
    else:
        read = next(read for kind, read in READERS.items() if isinstance(module, kind))
        a, b, scaling = read(module)
    return a.detach().float(), b.detach().float() * scaling


def _less(
    trained: tuple[torch.Tensor, torch.Tensor], initial: Factors | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the factors of the trained update less the one that the start took from the base."""
    if initial is None:
        return trained
    a, b, scaling = initial
    lower = torch.cat([trained[0].cpu(), a.detach().float().cpu()])
    upper = torch.cat([trained[1].cpu(), -scaling * b.detach().float().cpu()], dim=1)
    return lower, upper
