"""The decoder layers whose query and key maps are searched, as parts of their LoRA adapters.

Axes: R rank, I inputs, O outputs of a part.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import nn

from metadata.architectures import FAMILIES
from metadata.errors import InvalidConfiguration

# Families whose one map gives query, key and value head by head, not one after the other.
BY_HEAD = frozenset({"gpt_neox"})
WANTED = ("q", "k", "qkv")
ADAPTER = "default"  # PEFT's name of the one there is


@dataclass(frozen=True)
class Part:
    """The low-rank map of queries or of keys: some ranks and some outputs of an adapter."""

    module: Any
    ranks: slice
    rows_O: torch.Tensor

    @property
    def a_shape(self) -> tuple[int, int]:
        """Return the shape (R, I) of its first factor."""
        return self.ranks.stop - self.ranks.start, int(self.module.lora_A[ADAPTER].in_features)

    @property
    def b_shape(self) -> tuple[int, int]:
        """Return the shape (O, R) of its second factor."""
        return len(self.rows_O), self.ranks.stop - self.ranks.start

    @torch.no_grad()
    def write(self, a_RI: torch.Tensor, b_OR: torch.Tensor) -> None:
        """Put the factors into the adapter; its scale is divided out, so that B A is the update."""
        a, b = self.module.lora_A[ADAPTER].weight, self.module.lora_B[ADAPTER].weight
        scaled_OR = b_OR.to(b.dtype) / self.module.scaling[ADAPTER]
        a[self.ranks] = a_RI.to(a.dtype)
        b[self.rows_O, self.ranks.start : self.ranks.stop] = scaled_OR


@dataclass(frozen=True)
class Layer:
    """One decoder layer: its module, those before it, and the parts of it that are searched."""

    block: nn.Module
    earlier: tuple[nn.Module, ...]
    parts: tuple[Part, ...]

    @torch.no_grad()
    def clear(self) -> None:
        """Have the adapter add nothing, here and, with one map for all three, to values."""
        for part in self.parts:
            part.module.lora_A[ADAPTER].weight.zero_()
            part.module.lora_B[ADAPTER].weight.zero_()

    def write(self, factors: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Have the adapter add the product of these factors, a pair (A, B) for each part."""
        self.clear()
        for part, (a_RI, b_OR) in zip(self.parts, factors, strict=True):
            part.write(a_RI, b_OR)


def searched_layers(model: Any) -> list[Layer]:
    """Return the decoder layers in order, with the LoRA modules on their query and key maps.

    Raises:
        InvalidConfiguration: The model has no such modules by the names of its family.
    """
    family = FAMILIES.get(model.config.model_type, FAMILIES["llama"])
    endings = {ending: role for ending, role in family.modules if role in WANTED}
    found: dict[str, dict[str, Any]] = {}
    for name, module in model.named_modules():
        ending = next((one for one in endings if name.endswith(f".{one}")), None)
        if isinstance(module, LoraLayer) and ending is not None:
            of_block = found.setdefault(name.removesuffix(f".{ending}"), {})
            of_block[endings[ending]] = module
    if not found:
        raise InvalidConfiguration(
            "target_modules must name query and key maps; this model's family has none that are "
            "known. Use an optimizer with gradients.",
            param="target_modules",
        )
    blocks = [model.get_submodule(name) for name in found]
    return [
        Layer(block, tuple(blocks[:index]), _parts(modules, model.config))
        for index, (block, modules) in enumerate(zip(blocks, found.values(), strict=True))
    ]


def _parts(modules: dict[str, Any], config: Any) -> tuple[Part, ...]:
    if "qkv" in modules:
        return _fused(modules["qkv"], config)
    return tuple(_whole(module) for module in modules.values())


def _whole(module: Any) -> Part:
    rows_O = torch.arange(module.lora_B[ADAPTER].out_features)
    return Part(module, slice(0, module.r[ADAPTER]), rows_O)


def _fused(module: Any, config: Any) -> tuple[Part, ...]:
    """Return queries and keys of one map for all three, each with half of the ranks."""
    rank = module.r[ADAPTER]
    half = rank - rank // 2
    query_O, key_O = _rows(config.get_text_config())
    return Part(module, slice(0, half), query_O), Part(module, slice(half, rank), key_O)


def _rows(config: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return which outputs of a map for all three are queries and which are keys."""
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    if config.model_type in BY_HEAD:
        rows = torch.arange(3 * heads * size).view(heads, 3, size)
        return rows[:, 0].reshape(-1), rows[:, 1].reshape(-1)
    keys = (getattr(config, "num_key_value_heads", None) or heads) * size
    return torch.arange(heads * size), torch.arange(heads * size, heads * size + keys)
