"""Put the configuration's method on a base model, save it, load it.

The method table names a PEFT config class or a function of our own; nothing here knows the
methods one by one, except how our own two are saved.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import peft
from torch import nn
from transformers.pytorch_utils import Conv1D

from metadata.architectures import FAMILIES, ROLES
from metadata.errors import InvalidConfiguration
from metadata.methods import METHODS
from metadata.methods.scaling import FEEDFORWARD
from metadata.methods.spec import MethodSpec
from metadata.records import Configuration, Scalar, TargetModules
from training_worker.entries import resolve
from training_worker.tuners.bitfit import load_bitfit, save_bitfit


@dataclass(frozen=True)
class Targets:
    """Full names of the targeted modules, and the endings that name just these."""

    names: tuple[str, ...]
    endings: tuple[str, ...]
    feedforward: tuple[str, ...]
    transposed: bool  # GPT-2's Conv1D keeps its weight as (d_in, d_out)


def add_adapter(model: Any, configuration: Configuration) -> Any:
    """Return the model with the method's weights added, and only those trainable.

    The configuration is one that passes `metadata.checks.check`.

    Raises:
        InvalidConfiguration: The method does not go with the model.
    """
    spec = METHODS[configuration.method.name]
    targets = find_targets(model, configuration.target_modules)
    target = resolve(spec.target)
    if not isinstance(target, type):
        return target(model, configuration, targets.names)
    config = target(**_peft_arguments(target, spec, configuration.method.values, targets))
    try:
        with _without_known_warnings():
            return peft.get_peft_model(model, config)
    except (ValueError, TypeError) as error:
        raise InvalidConfiguration(
            f"{spec.title} must fit the model's layers; PEFT refused: {error}. Change the "
            "method's values or its target modules.",
            param="method",
        ) from error


def train_everything(
    model: nn.Module, configuration: Configuration, module_names: Sequence[str]
) -> nn.Module:
    """Return the same model with every weight trainable."""
    del configuration, module_names
    return model.requires_grad_(True)


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


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights to train by name, each once."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def save_adapter(model: Any, configuration: Configuration, folder: Path, *, base: str) -> None:
    """Write what was trained to a new folder, as safetensors; full fine-tuning saves the model.

    The folder appears whole or not at all.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    name = configuration.method.name
    saver = OWN_FORMATS[name].save if name in OWN_FORMATS else _save_peft
    with TemporaryDirectory(dir=folder.parent, prefix=".partial-") as partial:
        whole = Path(partial) / folder.name
        whole.mkdir()
        saver(model, whole, base)
        whole.rename(folder)


def load_adapter(model: Any, configuration: Configuration, folder: Path) -> Any:
    """Return a base model with a saved adapter on it."""
    name = configuration.method.name
    if name in OWN_FORMATS:
        return OWN_FORMATS[name].load(model, folder)
    with _without_known_warnings():
        return peft.PeftModel.from_pretrained(model, str(folder))


@dataclass(frozen=True)
class Format:
    """How a method that is not PEFT's own is saved and loaded."""

    save: Callable[[Any, Path, str], None]
    load: Callable[[Any, Path], Any]


@contextmanager
def _without_known_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        # peft asks transformers by a name that is on its way out
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
        yield


def _save_peft(model: Any, folder: Path, base: str) -> None:
    del base
    # embeddings are never trained here, and looking them up would ask the network
    model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)


def _save_whole(model: Any, folder: Path, base: str) -> None:
    del base
    model.save_pretrained(str(folder))


def _load_whole(model: Any, folder: Path) -> Any:
    return type(model).from_pretrained(str(folder), dtype=model.dtype, use_safetensors=True)


OWN_FORMATS: Mapping[str, Format] = {
    "bitfit": Format(
        save=lambda model, folder, base: save_bitfit(model, folder, base_model=base),
        load=load_bitfit,
    ),
    "full": Format(save=_save_whole, load=_load_whole),
}


def _peft_arguments(
    config: Any, spec: MethodSpec, values: Mapping[str, Scalar], targets: Targets
) -> dict[str, Any]:
    """Return the arguments of a PEFT config class: the chosen values and what the model needs."""
    of_model = {
        "target_modules": list(targets.endings),
        "feedforward_modules": list(targets.feedforward),
        "fan_in_fan_out": targets.transposed,
    }
    assert is_dataclass(config)
    known = {field.name for field in fields(config)}
    needed = {name: value for name, value in of_model.items() if name in known}
    return {"task_type": "CAUSAL_LM"} | needed | dict(values) | dict(spec.fixed)


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
