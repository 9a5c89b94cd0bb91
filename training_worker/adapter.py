"""Put the configuration's method on a base model, save it, load it.

The method table names a PEFT config class or a function of our own; nothing here knows the
methods one by one.
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import peft
import torch
from safetensors import SafetensorError
from torch import nn

from metadata.errors import InvalidConfiguration
from metadata.methods import METHODS
from metadata.methods.spec import MethodSpec, Serving
from metadata.records import Configuration
from training_worker.adapter_files import (
    CONFIG_FILE,
    CONFIGURATION_FILE,
    read_config,
    refusal,
)
from training_worker.entries import resolve
from training_worker.export import save
from training_worker.givens import GIVENS, USUAL, Scene
from training_worker.setting import Setting
from training_worker.targets import find_targets
from training_worker.tuners.block_diagonal import use_torch_blocks

NOTHING_SEEN = Setting()
torch.sparse.check_sparse_tensor_invariants.enable()  # SHiRA's places can be somebody's upload
use_torch_blocks()  # before PEFT makes a BOFT layer and builds its own


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
    of_base = set(model.parameters())
    try:
        with without_known_warnings():
            adapted = inject(model, target(**_arguments(target, spec, scene)), setting)
    except (ValueError, TypeError) as error:
        raise InvalidConfiguration(
            f"{spec.title} must fit the model's layers; PEFT refused: {error}. Change the "
            "method's values or its target modules.",
            param="method",
        ) from error
    _let_go([weight for weight in adapted.parameters() if weight not in of_base])
    return adapted


def train_everything(
    model: nn.Module, configuration: Configuration, module_names: Sequence[str]
) -> nn.Module:
    """Return the same model with every weight trainable."""
    del configuration, module_names
    return model.requires_grad_(True)


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights to train by name, each once."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def save_adapter(
    model: Any, configuration: Configuration, folder: Path, *, serve_with: Serving | None = None
) -> None:
    """Write what was trained to a new folder, in the form that is to be served.

    The folder appears whole or not at all.

    Raises:
        InvalidConfiguration: The method's result cannot be served so.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=".partial-") as partial:
        whole = Path(partial) / folder.name
        whole.mkdir()
        with without_known_warnings():
            save(model, configuration, whole, serve_with=serve_with)
        text = configuration.model_dump_json(indent=2) + "\n"
        (whole / CONFIGURATION_FILE).write_text(text, encoding="utf-8")
        whole.rename(folder)


def load_adapter(model: Any, folder: Path) -> Any:
    """Return a base model with what was saved on it: an adapter, or all its weights.

    Raises:
        InvalidRequest: The folder holds neither in a form that is safe to read.
    """
    if not (folder / CONFIG_FILE).exists():
        return type(model).from_pretrained(str(folder), dtype=model.dtype, use_safetensors=True)
    config = read_config(folder)
    try:
        with without_known_warnings():
            # PEFT only warns where weights are missing, and the output would be wrong
            warnings.filterwarnings("error", message="Found missing adapter keys")
            return peft.PeftModel.from_pretrained(model, str(folder), config=config)
    except (ValueError, TypeError, RuntimeError, UserWarning, SafetensorError) as error:
        reason = f"it does not go with the base model ({type(error).__name__})"
        raise refusal(reason) from error


@contextmanager
def without_known_warnings() -> Iterator[None]:
    """Keep quiet what PEFT is warned of by others and users can do nothing about."""
    with warnings.catch_warnings():
        # peft asks transformers by a name that is on its way out
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
        # said of norms, whose widths PEFT asks for and does not use
        warnings.filterwarnings("ignore", message="Unsupported layer type")
        # AdaLoRA's ranks are kept by the name of a weight, and PEFT 0.21.2 looks for a module's
        warnings.filterwarnings("ignore", message="The following rank_pattern keys did not match")
        yield


def _let_go(weights: Sequence[nn.Parameter]) -> None:
    """Copy weights that are a part of something larger, so that the rest can go.

    OLoRA's A is a few rows of a whole matrix, MiCA's B a few columns, which PEFT would hold for
    ever.
    """
    users = Counter(weight.untyped_storage()._cdata for weight in weights)
    for weight in weights:
        storage = weight.untyped_storage()
        if users[storage._cdata] == 1 and storage.nbytes() > weight.nbytes:
            weight.data = weight.data.clone()


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
