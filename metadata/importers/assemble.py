"""A draft as a run: what the source says, in our records, and what it does not say, told.

**Scores.** Ours is held-out nats per token gained over the frozen base. A source that says the
base's loss and the run's on the same test split has one. All others keep what they measured, under
the names they gave it, as points of the curve (accuracy, perplexity, a test loss: the split is in
the point), and `scores` stays empty: an accuracy here and a loss there are never compared.

**Gaps.** `origin.gaps` names the parts that the source leaves open or says in no terms of ours.
They hold the smallest values that the records take, or a usual setting; `metadata.teaching` keeps
such runs from being learnt from.

**Ids** are a hash of the source's name and content, so that nothing is imported twice.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from metadata.errors import InvalidRequest
from metadata.importers.cleaning import text_of
from metadata.importers.configurations import configuration_of
from metadata.importers.facts import Facts
from metadata.importers.spec import Draft, Given
from metadata.importers.tasks import task_of
from metadata.records import (
    IMPORTED,
    Costs,
    Origin,
    Run,
    RunState,
    Scores,
)

LONGEST_REASON = 300
CREATED_AT = "created_at"
_STATES: Mapping[str, RunState] = {
    "succeeded": "succeeded", "success": "succeeded", "completed": "succeeded",
    "complete": "succeeded", "finished": "succeeded", "done": "succeeded", "ok": "succeeded",
    "diverged": "diverged", "nan": "diverged", "exploded": "diverged",
    "out_of_memory": "out_of_memory", "oom": "out_of_memory",
    "timed_out": "timed_out", "timeout": "timed_out",
    "failed": "failed", "failure": "failed", "crashed": "failed", "killed": "failed",
    "canceled": "failed", "cancelled": "failed", "error": "failed", "preempted": "failed",
}  # fmt: skip
UNFINISHED = frozenset({"running", "scheduled", "pending", "queued"})
_WHOLE_COSTS = ("peak_tensor_bytes", "peak_device_bytes", "trained_tokens", "trainable_parameters")
_SECONDS = ("train_seconds", "eval_seconds", "train_cpu_seconds", "eval_cpu_seconds")


def run_of(
    draft: Draft, *, importer: str, given: Given, place: str, now: datetime
) -> tuple[Run, list[str]]:
    """Return the run of a draft and what was guessed, in words.

    Args:
        draft: What the source says.
        importer: Name of the importer, which is the run's source.
        given: What the caller says beyond it.
        place: What the data are called where nothing names them.
        now: When the import happens, for sources without a time.

    Raises:
        InvalidRequest: It is no run: still under way, or of no values that our records take.
    """
    facts = Facts(values=draft.facts, notes=list(draft.notes))
    state, reason = _state(facts)
    task = task_of(facts, draft.model_config, given, importer=importer, place=place)
    configuration = configuration_of(facts, draft.adapter, task.model, task.dataset)
    costs, scores, created_at = _costs(facts), _scores(facts), _created_at(facts, now)
    detail = text_of(draft.label) or importer
    try:
        run = Run(
            id=f"{IMPORTED}{_hash([importer, draft.identity])[:24]}",
            task=task,
            configuration=configuration,
            state=state,
            reason=reason,
            curve=draft.curve,
            scores=scores,
            costs=costs,
            versions=dict(draft.versions),
            origin=Origin(source=importer, detail=detail, gaps=", ".join(sorted(facts.gaps))),
            created_at=created_at,
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidRequest(f"{field}: {first['msg']}"[:LONGEST_REASON]) from None
    return run, facts.notes


def _hash(content: Any) -> str:
    """Return the SHA-256 of what a source says, which may hold NaN where our own JSON may not."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _state(facts: Facts) -> tuple[RunState, str]:
    named = (facts.text("state") or "").lower()
    reason = (facts.text("reason") or "")[:LONGEST_REASON]
    if named in UNFINISHED:
        raise InvalidRequest("it is still under way. Import it again once it has ended.")
    first = named.split()[0] if named else ""
    state = _STATES.get(first)
    if state is None:
        note = f"its state ({named})" if named else "how it ended"
        facts.notes.append(f"{note} is none that we know: it counts as succeeded")
        return "succeeded", reason
    if state == "failed" and "out of memory" in reason.lower():
        state = "out_of_memory"
    if state != "succeeded" and not reason:
        reason = f"the source says: {named}"
    return state, reason


def _scores(facts: Facts) -> Scores | None:
    """Return scores only where the base's loss is told beside the run's own."""
    base = facts.number("base_loss", -1e6, 1e6)
    last = facts.number("last_loss", -1e6, 1e6)
    best = facts.number("best_loss", -1e6, 1e6)
    last, best = (best if last is None else last), (last if best is None else best)
    if base is None or last is None or best is None:
        return None
    return Scores(
        base_loss=base,
        best_loss=best,
        last_loss=last,
        exact_match=facts.number("exact_match", 0, 1),
        mean_reciprocal_rank=facts.number("mean_reciprocal_rank", 0, 1),
    )


def _costs(facts: Facts) -> Costs | None:
    """Return costs where one is told; those that are not are 0 and told as gaps."""
    told: dict[str, float | int | None] = {
        **{name: facts.number(name, 0, 1e12) for name in _SECONDS},
        **{name: _rounded(facts.number(name, 0, 1e15)) for name in _WHOLE_COSTS},
        "steps": facts.whole("steps", 0, 10**15),
    }
    if all(told[name] is None for name in ("train_seconds", *_WHOLE_COSTS)):
        return None
    facts.gaps.update(f"costs.{name}" for name, value in told.items() if value is None)
    return Costs.model_validate({name: value or 0 for name, value in told.items()})


def _rounded(number: float | None) -> int | None:
    return None if number is None else round(number)  # 1.16 GiB is no whole number of bytes


def _created_at(facts: Facts, now: datetime) -> datetime:
    told = facts.text(CREATED_AT)
    number = facts.number(CREATED_AT, 1e9, 1e13) if told is None else None
    try:
        if told is not None:
            moment = datetime.fromisoformat(told)
            return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        if number is not None:
            return datetime.fromtimestamp(number / (1000 if number > 1e11 else 1), UTC)
    except (ValueError, OverflowError):
        facts.notes.append("its time cannot be read")
    facts.open(CREATED_AT, "when it ran is not told: the time of the import stands for it")
    return now
