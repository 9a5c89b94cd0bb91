"""How each field of a run is called and shown, in tables and on axes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from metadata.query import known_fields
from metadata.query.fields import find_field
from service import wording

CellKind = Literal["text", "number", "state", "time"]
LONGEST_TEXT = 160  # of a cell; the page of the run shows all of it
STATE_KINDS: Mapping[str, str] = {
    "succeeded": "good",
    "running": "running",
    "queued": "waiting",
    "paused": "waiting",
    "diverged": "bad",
    "failed": "bad",
    "out_of_memory": "warn",
    "timed_out": "warn",
    "cancelled": "warn",
}
GROUPS: Mapping[str, Mapping[str, str]] = {
    "Result": {
        "state": "State",
        "reason": "Reason",
        "score": "Nats gained",
        "exact_match": "Exact match",
        "mean_reciprocal_rank": "Mean reciprocal rank",
        "base_loss": "Loss before",
        "best_loss": "Best loss",
        "last_loss": "Last loss",
        "created_at": "Finished",
    },
    "Costs": {
        "train_seconds": "Time",
        "eval_seconds": "Evaluation time",
        "peak_tensor_bytes": "Peak tensor memory",
        "peak_device_bytes": "Peak device memory",
        "trained_tokens": "Trained tokens",
        "trainable_parameters": "Trained weights",
    },
    "Task": {
        "dataset_name": "Dataset",
        "dataset_kind": "Kind",
        "examples": "Examples",
        "model_id": "Model",
        "model_family": "Family",
        "model_parameters": "Model weights",
        "device_name": "Device",
    },
    "Configuration": {
        "method": "Method",
        "rank": "Rank",
        "target_modules": "Adapters on",
        "optimizer": "Optimizer",
        "learning_rate": "Rate",
        "schedule": "Schedule",
        "batch_size": "Examples a step",
        "epochs": "Epochs",
        "max_length_tokens": "Longest example",
        "precision": "Precision",
        "seed": "Seed",
    },
    "Record": {
        "id": "Run",
        "origin_source": "Source",
        "core": "Core",
        "tags": "Tags",
        "note": "Note",
        "archived": "Archived",
    },
}
TITLES: Mapping[str, str] = {
    name: title for group in GROUPS.values() for name, title in group.items()
}
DEFAULT_COLUMNS = (
    "dataset_name",
    "model_id",
    "method",
    "learning_rate",
    "state",
    "score",
    "train_seconds",
    "created_at",
)
_GENERIC = frozenset({"name", "mean", "p50", "p90", "p99", "max", "r", "id", "count", "kind"})
_HASH_CHARACTERS = 12  # enough to tell two apart
_LARGER_IS_BETTER = ("score", "exact_match", "mean_reciprocal_rank", "accuracy", "margin")
_SMALLER_IS_BETTER = ("_loss", "_seconds", "_bytes", "joules")
_SAID: Mapping[str, Callable[[Any], str]] = {
    "state": lambda value: state_words(value),
    "created_at": lambda value: wording.date(value),
    "learning_rate": lambda value: wording.rate(value),
    "method": lambda value: wording.capitalised(wording.method(value)),
    "optimizer": lambda value: wording.optimizer(value),
    "schedule": lambda value: wording.schedule(value),
    "tags": lambda value: ", ".join(value),
    "exact_match": lambda value: f"{100 * value:.0f} %",
    "model_parameters": lambda value: wording.quantity(value),
    "trainable_parameters": lambda value: wording.quantity(value),
    "trained_tokens": lambda value: wording.quantity(value),
}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One value as a table shows it."""

    text: str
    kind: CellKind = "text"
    detail: str = ""  # said more quietly after the text
    state_kind: str = ""
    iso: str = ""
    link: str = ""
    is_best: bool = False


def state_words(state: str) -> str:
    """Say a state."""
    return state.replace("_", " ")


def title_of(name: str) -> str:
    """Return the heading of a field: its title, or the last words of its path."""
    if name in TITLES:
        return TITLES[name]
    if name.startswith("configuration.method."):
        return wording.value_name(name.removeprefix("configuration.method."))
    first, _, last = name.rpartition(".")
    if last in _GENERIC and first:
        last = f"{first.rpartition('.')[2]}, {last}"
    return wording.capitalised(last.replace("_", " "))


def is_number(name: str) -> bool:
    """Say whether a field is shown to the right, and sorted the largest first at first."""
    field = find_field(name)
    return field is not None and field.kind in {"number", "any"}


def number_fields() -> tuple[str, ...]:
    """Return the fields of fixed name that are numbers, typed columns first."""
    return tuple(name for name, field in known_fields().items() if field.kind == "number")


def say(name: str, value: Any) -> str:
    """Say a value of a field in words; a dash where it is empty."""
    if value is None or value in ("", [], ()):
        return wording.DASH
    if name in _SAID:
        return _SAID[name](value)
    if isinstance(value, datetime):
        return wording.date(value)
    if name.endswith(("sha256", "group")):
        return str(value)[:_HASH_CHARACTERS]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return shortened(wording.scalar(value) if isinstance(value, bool) else str(value))
    return _say_number(name, value)


def _say_number(name: str, value: float) -> str:
    if name.endswith("_seconds"):
        return wording.duration(value)
    if name.endswith("_bytes") and abs(value) >= 1024:
        return wording.size(value)
    if name == "score" or name.endswith("_loss"):
        return wording.decimal(value, 3)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def cell(name: str, value: Any) -> Cell:
    """Return a value of a field as a table shows it."""
    text = say(name, value)
    if name == "state" and value:
        return Cell(text=text, kind="state", state_kind=STATE_KINDS.get(value, ""))
    if isinstance(value, datetime):
        return Cell(text=text, kind="time", iso=value.isoformat())
    return Cell(text=text, kind="number" if is_number(name) else "text")


def shortened(text: str, *, longest: int = LONGEST_TEXT) -> str:
    """Return a text, its end cut off where it is long."""
    return text if len(text) <= longest else f"{text[: longest - 1]}\N{HORIZONTAL ELLIPSIS}"


def direction(name: str) -> int:
    """Return 1 where larger values of a field are better, -1 where smaller ones are, else 0."""
    last = name.rpartition(".")[2]
    if last in _LARGER_IS_BETTER:
        return 1
    return -1 if last.endswith(_SMALLER_IS_BETTER) else 0
