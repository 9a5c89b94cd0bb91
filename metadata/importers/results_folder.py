"""Folders of a run that a script wrote: a PEFT or model config beside JSON metrics.

Documents (`run.json`, `metrics*.json`, `*results*.json`, YAML beside them or in `config/`) are read
by the names of their values; a list of objects, or a CSV with a step, is a learning curve.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from metadata.errors import InvalidRequest
from metadata.importers.adapters import method_named
from metadata.importers.cleaning import leaves, number_of, text_of, whole_of
from metadata.importers.files import Place, read_json, read_object
from metadata.importers.names import Sorted, facts_of, measurements, split_of
from metadata.importers.rows import csv_rows
from metadata.importers.spec import Draft, Given, ImporterSpec, one_run
from metadata.importers.vocabulary import BY_NAME
from metadata.records import Measurement, Scalar

CONFIGS = frozenset({"adapter_config.json", "config.json", "run.json"})
MOST_DOCUMENTS = 40
MOST_POINTS = 1_000_000
PARENTS = 3  # whose names may name the method
_HIGHEST = ("train_minutes", "train_seconds", "peak_device_gib", "peak_device_mib")


def claims(place: Place) -> bool:
    """Say whether a folder holds metrics beside a config."""
    names = place.files
    has_metrics = any(name.startswith("metrics") and name.endswith(".json") for name in names)
    return place.is_folder and has_metrics and not CONFIGS.isdisjoint(names)


def _draft(place: Place, given: Given) -> Draft:
    documents, rows = _documents(place)
    adapter = documents.pop("adapter_config.json", None)
    config = documents.pop("config.json", None)
    plain: dict[str, Any] = {}
    for name in sorted(documents, key=lambda name: not name.endswith((".yaml", ".yml"))):
        plain |= {f"{Path(name).stem}.{path}": v for path, v in leaves(documents[name]).items()}
    told = facts_of(_without_doubles(plain, adapter), given.names)
    facts, notes = dict(told.facts), list(told.notes)
    for name, value in _highest(rows).items():
        facts.setdefault(name, value)
    _name_model(facts, notes, plain, adapter)
    if adapter is not None:
        facts.pop("method", None)
    elif facts.get("method") is None:
        facts["method"] = _named_by_folders(place)
        notes.append("the method is that of the folder's name")
    step = max((whole_of(row.get("step")) or 0 for row in rows), default=0)
    facts.setdefault("steps", step or None)
    return Draft(
        label=place.label,
        identity=[documents, adapter, config, rows],
        facts=facts,
        adapter=adapter,
        model_config=config,
        curve=(*_curve(rows), *measurements(_final(told), step=step)),
        versions=_versions(plain, adapter, config),
        notes=tuple(notes),
    )


def _documents(place: Place) -> tuple[dict[str, Any], Sequence[Mapping[str, Any]]]:
    """Return the objects of a folder by name, and the rows of its learning curve."""
    files = dict(place.files)
    inner = place.below("config")
    files |= {} if inner is None else {f"config/{n}": path for n, path in inner.files.items()}
    documents: dict[str, Any] = {}
    rows: list[Mapping[str, Any]] = []
    for name, path in list(files.items())[:MOST_DOCUMENTS]:
        if path.suffix.lower() == ".csv":
            rows += _steps(path)
        elif path.suffix.lower() in {".yaml", ".yml"}:
            documents[name] = read_object(path)
        elif path.suffix.lower() == ".json":
            found = read_json(path)
            if isinstance(found, list):
                rows += [row for row in found[:MOST_POINTS] if isinstance(row, dict)]
            elif isinstance(found, dict):
                documents[name] = found
    return documents, rows


def _steps(path: Path) -> Sequence[Mapping[str, Any]]:
    """Return the rows of a CSV that has steps; none of another."""
    try:
        rows: list[Mapping[str, Any]] = []
        for row in csv_rows(path):
            if "step" not in row or len(rows) >= MOST_POINTS:
                break
            rows.append(row)
    except csv.Error as error:
        raise InvalidRequest(f"{path.name} cannot be read as CSV: {str(error)[:100]}.") from None
    return rows


def _without_doubles(
    plain: Mapping[str, Any], adapter: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    """Return values less those that the PEFT config says already."""
    said = set() if adapter is None else set(adapter)
    return {name: value for name, value in plain.items() if name.rpartition(".")[2] not in said}


def _highest(rows: Sequence[Mapping[str, Any]]) -> dict[str, Scalar]:
    """Return time and memory of a curve, which grow to what the run took."""
    names = {name for row in rows[:1] for name in row if name != "epoch"}
    largest = {
        name: max(numbers)
        for name in names
        if (numbers := [n for row in rows if (n := number_of(row.get(name))) is not None])
    }
    found = {**facts_of(largest).facts, **_elapsed(largest)}
    wanted = {BY_NAME[name].ours for name in _HIGHEST}
    return {name: value for name, value in found.items() if name in wanted}


def _elapsed(largest: Mapping[str, float]) -> dict[str, float]:
    seconds = largest.get("elapsed_seconds")
    return {} if seconds is None else {"train_seconds": seconds}


def _name_model(
    facts: dict[str, Scalar],
    notes: list[str],
    plain: Mapping[str, Any],
    adapter: Mapping[str, Any] | None,
) -> None:
    named = text_of((adapter or {}).get("base_model_name_or_path"))
    tokenizer = text_of(next((v for n, v in plain.items() if n.endswith("tokenizer.name")), None))
    if named is not None:
        facts["model"] = named
    elif facts.get("model") is None and tokenizer is not None:
        facts["model"] = tokenizer
        notes.append("the model is the one of the tokenizer")


def _named_by_folders(place: Place) -> str | None:
    """Return a method that the folder or one above it names, the nearest first."""
    inside = place.path.relative_to(place.root.parent).parts[-PARENTS:]
    return next((method for name in reversed(inside) if (method := method_named(name))), None)


def _curve(rows: Sequence[Mapping[str, Any]]) -> Iterator[Measurement]:
    for row in rows:
        step = whole_of(row.get("step")) or 0
        for theirs, value in row.items():
            number = number_of(value)
            if theirs in ("step", "epoch") or number is None or isinstance(value, bool):
                continue
            name, split = split_of(str(theirs), otherwise="train")
            yield Measurement(name=name, step=max(0, step), value=number, split=split)


def _final(told: Sorted) -> dict[str, float]:
    """Return the results of metrics and evaluations; numbers of other documents are settings."""
    return {
        name: value
        for name, value in told.results.items()
        if name.startswith("metrics") or "result" in name.partition(".")[0]
    }


def _versions(
    plain: Mapping[str, Any],
    adapter: Mapping[str, Any] | None,
    config: Mapping[str, Any] | None,
) -> dict[str, str]:
    told = {
        "peft": text_of((adapter or {}).get("peft_version")),
        "transformers": text_of((config or {}).get("transformers_version")),
    }
    for path, value in plain.items():
        name = path.rpartition(".")[2].removesuffix("_version")
        if path.endswith("_version") and name in {"torch", "transformers", "python", "peft"}:
            told[name] = text_of(value)
    return {name: version for name, version in told.items() if version is not None}


SPEC = ImporterSpec(
    name="results_folder",
    title="folder with a PEFT or model config beside JSON metrics",
    claims=claims,
    read=one_run(_draft),
)
