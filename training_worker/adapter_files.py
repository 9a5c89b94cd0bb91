"""Read a saved adapter's config as data that can do no harm, before PEFT sees any of it.

A config file is somebody's upload: PEFT's own reader imports modules that it names, follows
references to a hub, and falls back to pickled weights. Here only plain values of known fields
pass, for methods of the table, with weights in safetensors.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from peft import PEFT_TYPE_TO_CONFIG_MAPPING
from pydantic import ValidationError

from metadata.checks import check
from metadata.errors import InvalidRequest
from metadata.methods import METHODS
from metadata.records import Configuration
from training_worker.entries import resolve
from training_worker.givens import USUAL

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
CONFIGURATION_FILE = "peftwise.json"  # beside them: how it was trained, in our own words
MOST_BYTES = 1_000_000  # of a config; those of a model of 100 layers have a few thousand
# What PEFT writes beside a method's own values and what a trained adapter may differ in by layer.
SHARED = frozenset(
    {
        "peft_type",
        "task_type",
        "inference_mode",
        "rank_pattern",
        "alpha_pattern",
        # of methods that put tokens before a text
        "num_virtual_tokens",
        "num_transformer_submodules",
        "num_attention_heads",
        "num_layers",
        "token_dim",
    }
)
# Said by the file, and of no use here: the base is the caller's.
IGNORED = frozenset({"base_model_name_or_path", "peft_version", "revision", "inference_mode"})
_PLAIN = re.compile(r"[\w.\- ]{0,200}")  # no regular expression, path or address can be said


def read_config(folder: Path) -> Any:
    """Return the PEFT config of a saved adapter.

    Raises:
        InvalidRequest: It is no adapter of a known method in safetensors, or its config says
            something that only code or a hub could make sense of.
    """
    said = _read(folder / CONFIG_FILE)
    if not (folder / WEIGHTS_FILE).is_file():
        raise refusal(f"its weights must stand in {WEIGHTS_FILE}, and there is no such file")
    known = _allowed()
    kind = said.get("peft_type")
    if not isinstance(kind, str) or kind not in known:
        raise refusal(f"its peft_type must be one of {', '.join(sorted(known))}, got {kind!r:.60}")
    config, names = known[kind]
    usual = {field.name: _default(field) for field in fields(config)}
    arguments = {}
    for name, value in said.items():
        if name in IGNORED or (name in usual and value == usual[name]):
            continue
        if name not in names or not _is_plain(value) or not _is_like(value, usual.get(name)):
            raise refusal(f"it may not set {name[:60]!r} to {value!r:.60}")
        arguments[name] = value
    arguments.pop("peft_type")
    return config(**arguments)


def read_configuration(folder: Path) -> Configuration:
    """Return how an adapter was trained, as `save_adapter` wrote it beside the weights.

    Raises:
        InvalidRequest: There is no such file, or it holds no configuration that can exist.
    """
    said = _read(folder / CONFIGURATION_FILE)
    try:
        configuration = Configuration.model_validate(said)
    except ValidationError as error:
        raise refusal(f"its {CONFIGURATION_FILE} holds no configuration") from error
    check(configuration)
    return configuration


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise refusal(f"its {path.name} must be under {MOST_BYTES:,} bytes")
        said = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise refusal(f"it has no {path.name} that can be read") from error
    except (ValueError, RecursionError) as error:
        raise refusal(f"its {path.name} is not JSON") from error
    if not isinstance(said, dict):
        raise refusal(f"its {path.name} must hold an object, got {type(said).__name__}")
    return said


@lru_cache(maxsize=1)
def _allowed() -> Mapping[str, tuple[Any, frozenset[str]]]:
    """Return by PEFT's name of a method its config class and the fields a file may set."""
    kinds = {target: kind.value for kind, target in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    found: dict[str, tuple[Any, frozenset[str]]] = {}
    for spec in METHODS.values():
        target = resolve(spec.target)
        if not isinstance(target, type):
            continue
        kind = kinds[target]
        values = {parameter.name for parameter in spec.parameters}
        named = values | set(spec.fixed) | set(spec.given) | set(USUAL) | SHARED
        earlier = found[kind][1] if kind in found else frozenset()
        found[kind] = (target, earlier | named)
    return found


def _default(field: Field[Any]) -> Any:
    """Return a field's default as JSON would give it back."""
    made = field.default_factory() if field.default_factory is not MISSING else field.default
    if hasattr(made, "__dict__") and not isinstance(made, type | str):
        return vars(made)
    return made


def _is_like(value: Any, usual: Any) -> bool:
    """Say whether a value may stand where a number usually does."""
    return not isinstance(usual, int | float) or isinstance(value, int | float | str)


def _is_plain(value: Any, depth: int = 0) -> bool:
    if isinstance(value, str):
        return _PLAIN.fullmatch(value) is not None
    if isinstance(value, list) and depth < 2:
        return all(_is_plain(one, depth + 1) for one in value)
    if isinstance(value, dict) and depth < 2:
        pairs = value.items()
        return all(_is_plain(name) and _is_plain(one, depth + 1) for name, one in pairs)
    return value is None or isinstance(value, bool | int | float)


def refusal(reason: str) -> InvalidRequest:
    """Return the error of an adapter that cannot be loaded, for a reason without paths."""
    return InvalidRequest(
        f"This adapter cannot be loaded: {reason}. Give one that this version saved.",
        param="adapter",
    )
