"""The task of an imported run: what the source says of model, data and device, and what not.

A part that is not known whole is filled with the smallest values that its record takes, and told
as a gap: it can be looked at, filtered and drawn, and nothing is learnt from it.
"""

import contextlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from metadata.errors import InvalidRequest
from metadata.features.device import find_device
from metadata.features.model import find_model, known_models, profile_model
from metadata.importers.cleaning import leaves, text_of
from metadata.importers.facts import Facts
from metadata.importers.spec import Given
from metadata.records import (
    DatasetProfile,
    Device,
    Lengths,
    ModelProfile,
    Scalar,
    Task,
    content_hash,
)

UNKNOWN = "unknown"
DATASET, MODEL, DEVICE = "task.dataset", "task.model", "task.device"
_KINDS = frozenset({"classification", "extraction", "generation", "text", "preference"})


def task_of(
    facts: Facts, config: Mapping[str, Any] | None, given: Given, *, importer: str, place: str
) -> Task:
    """Return the task of a run.

    Args:
        facts: What the source says; gaps and notes are added to it.
        config: The `config.json` of the base model, where there is one.
        given: What the caller says, which goes before.
        importer: Name of the source; data of one name from two sources are not the same data.
        place: What the data are called where the source does not name them.
    """
    return Task(
        model=given.model or _model(facts, config),
        dataset=given.dataset or _dataset(facts, importer=importer, place=place),
        device=given.device or _device(facts),
    )


def _model(facts: Facts, config: Mapping[str, Any] | None) -> ModelProfile:
    told = _nested(facts.values, "task.model.")
    name = facts.text("model") or text_of((config or {}).get("_name_or_path")) or UNKNOWN
    with contextlib.suppress(ValidationError):
        return ModelProfile.model_validate({"id": name, **told})
    known = _known_model(name)
    if known is not None:
        return known
    found = _by_last_part(name)
    if found is not None:
        facts.open(MODEL, f"the model {name} is taken for {found.id} of our table")
        return found
    return _of_config(name, config, facts) or _unknown_model(name, facts)


@lru_cache(maxsize=1024)  # a table of runs names few models many times
def _known_model(name: str) -> ModelProfile | None:
    with contextlib.suppress(InvalidRequest):
        return find_model(name)
    return None


@lru_cache(maxsize=1024)
def _known_device(name: str, count: int) -> Device | None:
    with contextlib.suppress(InvalidRequest):
        return find_device(name, count=count)
    return None


def _by_last_part(name: str) -> ModelProfile | None:
    """Return the model whose id ends so, where there is one such model only."""
    last = name.rpartition("/")[2].lower()
    near = [one for one in known_models() if one.id.rpartition("/")[2].lower() == last]
    return near[0] if len(near) == 1 else None


def _of_config(name: str, config: Mapping[str, Any] | None, facts: Facts) -> ModelProfile | None:
    if config is None:
        return None
    try:
        return profile_model(leaves_of_config(config), id=name)
    except InvalidRequest:
        facts.notes.append(f"the config.json of {name} is of no model that is known here")
        return None


def leaves_of_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain values of a model's config, those of its language model in their place."""
    plain = {name: value for name, value in leaves(config).items() if "." not in name}
    nested = config.get("text_config")
    return {**plain, "text_config": leaves(nested)} if isinstance(nested, Mapping) else plain


def _unknown_model(name: str, facts: Facts) -> ModelProfile:
    facts.open(MODEL, f"the sizes of {name} are in none of our tables and left open")
    parameters = facts.whole("model_parameters", 1, 10**15)
    return ModelProfile(
        id=name,
        family=UNKNOWN,
        parameters=parameters or 1,
        layers=1,
        hidden_size=1,
        heads=1,
        key_value_heads=1,
        head_size=1,
        mlp_width=1,
        vocabulary=1,
        context_tokens=1,
        tied_embeddings=False,
    )


def _dataset(facts: Facts, *, importer: str, place: str) -> DatasetProfile:
    told = _nested(facts.values, "task.dataset.")
    with contextlib.suppress(ValidationError):
        return DatasetProfile.model_validate(told)
    name = facts.text("dataset")
    if name is None:
        facts.notes.append("the source names no dataset: it goes by the file's or folder's name")
    name = name or place
    facts.open(DATASET, "lengths, words and repetition of the data are not told and left open")
    examples = facts.whole("examples", 1, 10**15)
    if examples is None:
        facts.notes.append("how many examples there were is not told and left open")
    kind = facts.text("kind")
    nothing = Lengths(mean=0.0, p50=0, p90=0, p99=0, max=0)
    return DatasetProfile(
        name=name,
        group=f"{importer}: {name}"[:200],
        sha256=content_hash({"importer": importer, "dataset": name, "examples": examples}),
        kind=kind if kind in _KINDS else "text",  # type: ignore[arg-type]  # one of the kinds
        examples=examples or 1,
        prompt_bytes=nothing,
        completion_bytes=nothing,
        distinct_words=0,
        repeated_word_fraction=0.0,
        distinct_completions=1,
        completion_entropy_bits=0.0,
        duplicate_fraction=0.0,
        compression_ratio=1.0,
    )


def _device(facts: Facts) -> Device:
    name = facts.text("device")
    count = facts.whole("device_count", 1, 1024) or 1
    known = None if name is None or name.lower() == "cpu" else _known_device(name, count)
    if known is not None:
        return known
    facts.open(DEVICE, f"the device ({name or 'not named'}) is in no table of ours and left open")
    return Device(
        name=name or UNKNOWN,
        kind="cpu" if name is not None and "cpu" in name.lower() else "cuda",
        memory_bytes=1,
        bf16_tflops=1,
        bandwidth_gb_per_second=1,
        launch_microseconds=1,
        count=count,
    )


def _nested(values: Mapping[str, Scalar], start: str) -> dict[str, Any]:
    """Return the facts of dotted names below a path as nested mappings."""
    nested: dict[str, Any] = {}
    for name, value in values.items():
        if name.startswith(start):
            *path, last = name.removeprefix(start).split(".")
            inner = nested
            for part in path[:4]:
                step = inner.setdefault(part, {})
                inner = step if isinstance(step, dict) else {}
            inner[last] = value
    return nested
