"""Run folders of Weights & Biases: `wandb-summary.json` beside `config.yaml`.

Its table of runs as CSV is read by `metadata.importers.tables`. Who ran it, on which machine and
with which arguments stands in the metadata too, and is not taken.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

from metadata.errors import InvalidRequest
from metadata.importers.cleaning import is_not_a_number, leaves, text_of, whole_of
from metadata.importers.files import Place, read_object
from metadata.importers.names import facts_of, measurements
from metadata.importers.spec import Draft, Given, ImporterSpec, one_run
from metadata.records import Scalar

SUMMARY, CONFIG, ABOUT = "wandb-summary.json", "config.yaml", "wandb-metadata.json"


def claims(place: Place) -> bool:
    """Say whether a folder holds the summary of a run."""
    return place.is_folder and SUMMARY in place.files


def _draft(place: Place, given: Given) -> Draft:
    summary = read_object(place.files[SUMMARY])
    config = _config(place)
    about: Mapping[str, Any] = {}
    if ABOUT in place.files:
        with contextlib.suppress(InvalidRequest):
            about = read_object(place.files[ABOUT])
    settings = leaves(config)
    results = {name: v for name, v in leaves(summary).items() if not name.startswith("_wandb")}
    told = facts_of({**results, **settings}, given.names)
    facts: dict[str, Scalar] = dict(told.facts)
    facts.setdefault("device", text_of(about.get("gpu")))
    facts.setdefault("device_count", whole_of(about.get("gpu_count")))
    facts["created_at"] = text_of(about.get("startedAt")) or facts.get("created_at")
    losses = (value for name, value in results.items() if "loss" in name.lower())
    if "state" not in facts and any(is_not_a_number(value) for value in losses):
        facts |= {"state": "diverged", "reason": "its loss is no number"}
    step = whole_of(summary.get("_step")) or 0
    facts.setdefault("steps", step or None)
    finals = {
        name: value
        for name, value in told.results.items()
        if name in results and not name.startswith("_")
    }
    return Draft(
        label=f"{SUMMARY} of {_run_name(place)}",
        identity=[summary, config],
        facts=facts,
        curve=tuple(measurements(finals, step=step)),
        notes=told.notes,
    )


def _config(place: Place) -> dict[str, Any]:
    """Return the settings of a run, each without its description."""
    if CONFIG not in place.files:
        return {}
    found = read_object(place.files[CONFIG])
    return {
        name: entry["value"] if isinstance(entry, dict) and "value" in entry else entry
        for name, entry in found.items()
        if name not in ("_wandb", "wandb_version")
    }


def _run_name(place: Place) -> str:
    """Return the name of the folder, or of the one above where this one is `files`."""
    is_inner = place.label == "files" and place.path != place.root
    return place.path.parent.name[:150] if is_inner else place.label


SPEC = ImporterSpec(
    name="wandb",
    title="run folder of Weights & Biases",
    claims=claims,
    read=one_run(_draft),
)
