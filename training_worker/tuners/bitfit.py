"""BitFit: train the biases of the targeted linear maps and nothing else.

Most decoders of today have no biases. A targeted map without one is given a zero bias, which
leaves the model's output as it was until training moves it.

Paper: Ben Zaken, Goldberg, Ravfogel (arXiv:2106.10199), who train the biases BERT has; the added
zero biases are ours.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from metadata.errors import InvalidConfiguration
from metadata.records import Configuration

WEIGHTS_FILE = "bitfit.safetensors"
CONFIG_FILE = "bitfit_config.json"


def add_bitfit(
    model: nn.Module, configuration: Configuration, module_names: Sequence[str]
) -> nn.Module:
    """Return the same model with only the biases of the named modules trainable."""
    del configuration
    for name in module_names:
        _bias_of(model, name).requires_grad_(True)
    return model


def save_bitfit(model: nn.Module, folder: Path, *, base_model: str) -> None:
    """Write the trained biases as safetensors, and beside them which base they belong to."""
    biases = {
        name: parameter.detach().cpu().contiguous()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    save_file(biases, folder / WEIGHTS_FILE)
    config = {"method": "bitfit", "base_model": base_model, "biases": sorted(biases)}
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def load_bitfit(model: nn.Module, folder: Path) -> nn.Module:
    """Return a base model with saved biases in the place of its own."""
    for name, bias in load_file(folder / WEIGHTS_FILE).items():
        with torch.no_grad():
            _bias_of(model, name.removesuffix(".bias")).copy_(bias)
    return model


def _bias_of(model: nn.Module, name: str) -> nn.Parameter:
    """Return the bias of a module, made of zeros where it has none."""
    module = model.get_submodule(name)
    if module.bias is None:
        if not isinstance(module, nn.Linear) or not module.weight.is_floating_point():
            raise InvalidConfiguration(
                f"bitfit can add biases to plain linear maps only, {name} is "
                f"{type(module).__name__}. Choose another method, or quantization none.",
                param="method",
            )
        module.bias = nn.Parameter(module.weight.new_zeros(module.out_features))
    bias = module.bias
    assert isinstance(bias, nn.Parameter)
    return bias
