"""Which modules of a base model the names of the tables stand for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from metadata.architectures import FAMILIES, ROLES
from metadata.errors import InvalidConfiguration
from metadata.methods.scaling import FEEDFORWARD
from metadata.records import TargetModules


@dataclass(frozen=True)
class Targets:
    """Full names of the targeted modules, and the endings that name just these."""

    names: tuple[str, ...]
    endings: tuple[str, ...]
    feedforward: tuple[str, ...]
    transposed: bool  # GPT-2's Conv1D keeps its weight as (d_in, d_out)


def find_targets(model: Any, target: TargetModules) -> Targets:
    """Return the linear maps of the decoder layers that a target names.

    A family outside `metadata.architectures` is read as Llama's where it uses its names; where it
    does not, only `all-linear` can be told: every linear map but the one to the vocabulary.

    Raises:
        InvalidConfiguration: The model's family is unknown and the target is not `all-linear`.
    """
    family = FAMILIES.get(model.config.model_type, FAMILIES["llama"])
    roles = {ending: role for ending, role in family.modules if role in ROLES[target]}
    linears = _linears(model)
    names = tuple(name for name in linears if _ends_in(name, roles))
    if names:
        feedforward = tuple(ending for ending, role in roles.items() if role in FEEDFORWARD)
        return Targets(names, tuple(roles), feedforward, _is_transposed(linears, names))
    if target != "all-linear" or not linears:
        raise InvalidConfiguration(
            f"target_modules {target} needs a known model family; {model.config.model_type!r} is "
            "not. Use all-linear.",
            param="target_modules",
        )
    every = tuple(linears)
    return Targets(every, every, (), _is_transposed(linears, every))


def _linears(model: Any) -> dict[str, nn.Module]:
    head = model.get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not head
    }


def _ends_in(name: str, endings: Mapping[str, Any]) -> bool:
    return any(name.endswith(f".{ending}") for ending in endings)


def _is_transposed(linears: Mapping[str, nn.Module], names: Sequence[str]) -> bool:
    return isinstance(linears[names[0]], Conv1D)
