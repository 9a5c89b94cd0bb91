"""Output folders of the Hugging Face Trainer, messy and interrupted ones too.

Read are `trainer_state.json`, the PEFT and model configs, arguments as JSON and result files.
Binaries (`training_args.bin`, `optimizer.pt`, weights) are never opened. The checkpoints inside a
folder are states of one run: the last that can be read says most, and stands for it.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from math import ceil, floor, isclose
from typing import Any

from metadata.errors import InvalidRequest
from metadata.importers.cleaning import is_not_a_number, leaves, number_of, text_of, whole_of
from metadata.importers.files import Place, read_object
from metadata.importers.names import Split, facts_of, split_of
from metadata.importers.spec import Draft, Given, ImporterSpec, one_run
from metadata.records import Measurement, Scalar

STATE = "trainer_state.json"
ARGUMENTS = ("training_args.json", "training_args_extracted.json", "args.json")
RESULTS = ("all_results.json", "train_results.json", "eval_results.json", "test_results.json")
CHECKPOINT = re.compile(r"checkpoint-\d+")
MOST_POINTS = 1_000_000
ROUNDING = 0.0005  # the Trainer writes speeds with three digits after the point
_OF_A_STEP = frozenset({"step", "epoch"})


def claims(place: Place) -> bool:
    """Say whether a folder holds the state of a Trainer, or checkpoints that do."""
    return place.is_folder and (STATE in place.files or bool(_checkpoints(place)))


def _draft(place: Place, given: Given) -> Draft:
    del given
    source, state, notes = _last_state(place)
    folders = [source] if source is place else [source, place]
    documents = {
        name: found
        for name in ("adapter_config.json", "config.json", *ARGUMENTS, *RESULTS)
        for found in (_read_first(folders, name),)
        if found is not None
    }
    arguments = next((documents[name] for name in ARGUMENTS if name in documents), {})
    results: dict[str, float] = {}
    for name in RESULTS:
        results |= {key: n for key, v in leaves(documents.get(name)).items()
                    if (n := number_of(v)) is not None}  # fmt: skip
    if results and not _is_of_the_end(state, results):
        results = {}
        notes.append("result files of another step than the state's are left out")
    curve, is_cut = _curve(state, results)
    if is_cut:
        notes.append(f"the log is cut after {MOST_POINTS:,} points")
    adapter = documents.get("adapter_config.json")
    config = documents.get("config.json")
    facts = _facts(state, arguments, results, notes)
    if adapter is not None:
        facts["model"] = text_of(adapter.get("base_model_name_or_path"))
    elif config is not None:
        facts["method"] = "full"
        notes.append("a folder without a PEFT config is taken for full fine-tuning")
    return Draft(
        label=f"{STATE} of {place.label}",
        identity=[state, documents],
        facts=facts,
        adapter=adapter,
        model_config=config,
        curve=tuple(curve),
        versions=_versions(adapter, config),
        notes=tuple(notes),
    )


def _checkpoints(place: Place) -> list[Place]:
    """Return the checkpoints in a folder that have a state, the last step first."""
    names = [name for name in place.folders() if CHECKPOINT.fullmatch(name)]
    names.sort(key=lambda name: (len(name), name), reverse=True)
    found = [inner for name in names if (inner := place.below(name)) is not None]
    return [inner for inner in found if STATE in inner.files]


def _last_state(place: Place) -> tuple[Place, dict[str, Any], list[str]]:
    """Return where the most is told, what is told there, and notes on the others."""
    own = [place] if STATE in place.files else []
    candidates, notes, reason = [*own, *_checkpoints(place)], [], ""
    states = []
    for one in candidates:
        try:
            states.append((one, read_object(one.files[STATE])))
        except InvalidRequest as error:
            reason = str(error)
            notes.append(f"{STATE} of {one.label} cannot be read and is left out")
    if not states:
        raise InvalidRequest(reason)
    source, state = max(states, key=lambda found: whole_of(found[1].get("global_step")) or 0)
    if len(states) > 1:
        notes.append("earlier checkpoints of the same run are left aside")
    return source, state, notes


def _is_of_the_end(state: Mapping[str, Any], results: Mapping[str, float]) -> bool:
    """Say whether results were written where the state ends: copies of others lie about."""
    epoch, of_results = number_of(state.get("epoch")), results.get("epoch")
    if epoch is None or of_results is None:
        return True
    return isclose(epoch, of_results, rel_tol=0.01, abs_tol=0.02)


def _read_first(folders: list[Place], name: str) -> dict[str, Any] | None:
    for folder in folders:
        if name in folder.files:
            with contextlib.suppress(InvalidRequest):
                return read_object(folder.files[name])
    return None


def _facts(
    state: Mapping[str, Any],
    arguments: Mapping[str, Any],
    results: Mapping[str, float],
    notes: list[str],
) -> dict[str, Scalar]:
    plain = {name: value for name, value in leaves(arguments).items() if name != "max_steps"}
    facts = dict(facts_of(plain).facts)
    log = list(_log(state))
    summary = {**_last(log, "train_runtime"), **results}
    facts |= {
        "steps": whole_of(state.get("global_step")),
        "epochs": number_of(state.get("epoch")) or facts.get("epochs"),
        "train_seconds": summary.get("train_runtime"),
        "eval_seconds": sum(number_of(entry.get("eval_runtime")) or 0.0 for entry in log) or None,
        "trained_tokens": whole_of(state.get("num_input_tokens_seen")) or None,
        "examples": summary.get("train_samples"),
    }
    if facts.get("micro_batch_size") is None:
        facts["micro_batch_size"] = whole_of(state.get("train_batch_size")) or None
    samples, steps = (summary.get(f"train_{unit}_per_second") for unit in ("samples", "steps"))
    batch_size = _ratio(samples, steps)
    if batch_size is not None:
        facts["batch_size"] = batch_size
        notes.append("the batch size is samples over steps a second")
    if facts.get("learning_rate") is None:
        facts["learning_rate"] = max(
            (rate for entry in log if (rate := number_of(entry.get("learning_rate")))),
            default=None,
        )
        notes.append("the learning rate is the largest of the log")
    return {**facts, **_ending(state, log, summary)}


def _ratio(samples: float | None, steps: float | None) -> int | None:
    """Return samples a step from two rounded speeds, None where they leave more than one open."""
    if not samples or not steps or steps <= ROUNDING:
        return None
    low = ceil((samples - ROUNDING) / (steps + ROUNDING))
    high = floor((samples + ROUNDING) / (steps - ROUNDING))
    return low if low == high >= 1 else None


def _ending(
    state: Mapping[str, Any], log: list[Mapping[str, Any]], summary: Mapping[str, Any]
) -> dict[str, Scalar]:
    step, planned = whole_of(state.get("global_step")) or 0, whole_of(state.get("max_steps")) or 0
    losses = [entry["loss"] for entry in log if "loss" in entry]
    if losses and is_not_a_number(losses[-1]):
        return {"state": "diverged", "reason": "the last training loss is no number"}
    if step < planned and "train_runtime" not in summary:
        reason = f"{step:,} of {planned:,} steps are told: interrupted, or gone on elsewhere"
        return {"state": "failed", "reason": reason}
    return {"state": "succeeded"}


def _log(state: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    history = state.get("log_history")
    for entry in history if isinstance(history, list) else ():
        if isinstance(entry, dict):
            yield entry


def _last(log: list[Mapping[str, Any]], name: str) -> dict[str, float]:
    nothing: Mapping[str, Any] = {}
    entry = next((one for one in reversed(log) if name in one), nothing)
    return {key: n for key, value in entry.items() if (n := number_of(value)) is not None}


def _curve(
    state: Mapping[str, Any], results: Mapping[str, float]
) -> tuple[list[Measurement], bool]:
    """Return all finite numbers of the log by step, and result files where the log lacks them."""
    points: list[Measurement] = []
    for entry in _log(state):
        step = whole_of(entry.get("step"))
        for name, value in entry.items():
            number = number_of(value) if isinstance(value, int | float) else None
            if name in _OF_A_STEP or number is None or isinstance(value, bool):
                continue
            called, split = _named(name)
            points.append(
                Measurement(name=called, step=max(0, step or 0), value=number, split=split)
            )
            if len(points) >= MOST_POINTS:
                return points, True
    known = {(point.name, point.split, point.value) for point in points}
    step = whole_of(state.get("global_step")) or 0
    more = [
        Measurement(name=called, step=max(0, step), value=value, split=split)
        for name, value in results.items()
        if name not in _OF_A_STEP
        for called, split in (_named(name),)
    ]
    return [*points, *(p for p in more if (p.name, p.split, p.value) not in known)], False


def _named(theirs: str) -> tuple[str, Split]:
    """Return a measurement's name and split; `train_loss` is the mean of a run, no point of it."""
    return (theirs, "train") if theirs == "train_loss" else split_of(theirs, otherwise="train")


def _versions(
    adapter: Mapping[str, Any] | None, config: Mapping[str, Any] | None
) -> dict[str, str]:
    told = {
        "peft": text_of((adapter or {}).get("peft_version")),
        "transformers": text_of((config or {}).get("transformers_version")),
    }
    return {name: version for name, version in told.items() if version is not None}


SPEC = ImporterSpec(
    name="huggingface_trainer",
    title="output folder of the Hugging Face Trainer",
    claims=claims,
    read=one_run(_draft),
)
