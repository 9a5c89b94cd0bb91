"""Result files of PEFT's method comparison, of older and newer layouts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metadata.errors import InvalidRequest
from metadata.importers.cleaning import leaves, number_of, text_of, whole_of
from metadata.importers.files import Place, head, read_object
from metadata.importers.names import split_of
from metadata.importers.spec import Draft, Given, ImporterSpec, one_run
from metadata.records import Measurement, Scalar

PARTS = ("run_info", "train_info", "meta_info")
HEAD_BYTES = 4096
_PACKAGES = ("transformers", "peft", "datasets", "torch", "bitsandbytes")


def claims(place: Place) -> bool:
    """Say whether a JSON file begins like a result of the comparison."""
    if place.is_folder or place.path.suffix.lower() != ".json":
        return False
    begins = head(place.path, HEAD_BYTES)
    return b'"run_info"' in begins and b'"train_config"' in begins


def _object(document: Mapping[str, Any], part: str) -> Mapping[str, Any]:
    found = document.get(part)
    if not isinstance(found, dict):
        raise InvalidRequest(f"A result of the comparison has an object {part}; this has none.")
    return found


def _draft(place: Place, given: Given) -> Draft:
    del given
    document = read_object(place.path)
    run, trained, about = (_object(document, part) for part in PARTS)
    config = run.get("train_config")
    adapter = run.get("peft_config")
    metrics = trained.get("metrics")
    points = [one for one in metrics if isinstance(one, dict)] if isinstance(metrics, list) else []
    notes = ["the data are those that the comparison trains on"]
    facts = _facts(config if isinstance(config, dict) else {}, trained, points)
    facts |= {
        "method": None if isinstance(adapter, dict) else "full",
        "created_at": text_of(run.get("created_at")),
        "reason": text_of(run.get("error_msg")),
        "dataset": _dataset(config, about),
        "device": text_of(leaves(about).get("system_info.accelerator")),
    }
    return Draft(
        label=place.label,
        identity=document,
        facts=facts,
        adapter=adapter if isinstance(adapter, dict) else None,
        curve=tuple(_curve(points)),
        versions=_versions(about),
        notes=tuple(notes),
    )


def _facts(
    config: Mapping[str, Any], trained: Mapping[str, Any], points: Sequence[Mapping[str, Any]]
) -> dict[str, Scalar]:
    told = leaves(config)
    last = points[-1] if points else {}
    memory = trained.get("accelerator_memory_max", trained.get("cuda_memory_max"))
    return {
        "model": text_of(told.get("model_id")),
        "state": text_of(trained.get("status")),
        "precision": text_of(told.get("dtype")),
        "max_length_tokens": whole_of(told.get("max_seq_length", told.get("max_sequence_length"))),
        "batch_size": whole_of(told.get("batch_size")),
        "steps": whole_of(last.get("step", told.get("max_steps"))),
        "examples": whole_of(last.get("train samples")),  # each is seen once
        "seed": whole_of(told.get("seed")),
        "optimizer": text_of(told.get("optimizer_type")),
        "learning_rate": number_of(told.get("optimizer_kwargs.lr")),
        "weight_decay": number_of(told.get("optimizer_kwargs.weight_decay")),
        "schedule": text_of(told.get("lr_scheduler")) or "constant",
        "gradient_checkpointing": bool(told.get("use_gc")),
        "train_seconds": number_of(trained.get("train_time")),
        "eval_seconds": sum(number_of(one.get("eval time")) or 0.0 for one in points) or None,
        "peak_device_bytes": whole_of(memory),
        "trained_tokens": whole_of(last.get("train total tokens")),
        "trainable_parameters": whole_of(trained.get("num_trainable_params")),
        "model_parameters": whole_of(trained.get("num_total_params")),
    }


def _dataset(config: Any, about: Mapping[str, Any]) -> str | None:
    told = text_of(config.get("dataset_id")) if isinstance(config, dict) else None
    info = about.get("dataset_info")
    names = [name for name, one in info.items() if isinstance(one, dict)] if isinstance(
        info, dict
    ) else []  # fmt: skip
    return told or text_of(" and ".join(str(name) for name in names[:4]))


def _curve(points: Sequence[Mapping[str, Any]]) -> Iterator[Measurement]:
    for point in points:
        step = whole_of(point.get("step")) or 0
        for theirs, value in point.items():
            number = number_of(value) if isinstance(value, int | float) else None
            if theirs == "step" or number is None:
                continue
            otherwise = "test" if theirs in {"forgetting", "drift"} else "train"
            name, split = split_of(theirs, otherwise=otherwise)  # type: ignore[arg-type]
            yield Measurement(name=name, step=max(0, step), value=number, split=split)


def _versions(about: Mapping[str, Any]) -> dict[str, str]:
    told = leaves(about)
    found = {name: text_of(told.get(f"package_info.{name}-version")) for name in _PACKAGES}
    return {name: version for name, version in found.items() if version is not None}


SPEC = ImporterSpec(
    name="peft_comparison",
    title="result file of PEFT's method comparison",
    claims=claims,
    read=one_run(_draft),
)
