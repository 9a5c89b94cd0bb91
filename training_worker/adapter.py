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

from metadata.errors import InvalidConfiguration
from metadata.methods import METHODS
from metadata.methods.spec import MethodSpec
from metadata.records import Configuration
from training_worker.entries import resolve
from training_worker.givens import GIVENS, USUAL, Scene
from training_worker.setting import Setting
from training_worker.targets import find_targets
from training_worker.tuners.bitfit import load_bitfit, save_bitfit

NOTHING_SEEN = Setting()


def add_adapter(model: Any, configuration: Configuration, setting: Setting = NOTHING_SEEN) -> Any:
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
    scene = Scene(model, configuration, targets, setting)
    inject = resolve(spec.injector) if spec.injector else _inject
    try:
        with _without_known_warnings():
            return inject(model, target(**_arguments(target, spec, scene)), setting)
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


def _inject(model: Any, config: Any, setting: Setting) -> Any:
    del setting
    return peft.get_peft_model(model, config)


def _arguments(config: Any, spec: MethodSpec, scene: Scene) -> dict[str, Any]:
    """Return the arguments of a PEFT config class: the chosen values and what the scene gives."""
    assert is_dataclass(config)
    known = {field.name for field in fields(config)}
    usual = {name: source for name, source in USUAL.items() if name in known}
    given = {name: GIVENS[source](scene) for name, source in (usual | dict(spec.given)).items()}
    values = {
        name: value for name, value in scene.configuration.method.values.items() if name in known
    }
    return {"task_type": "CAUSAL_LM"} | given | values | dict(spec.fixed)
