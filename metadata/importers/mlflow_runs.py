"""What MLflow keeps of a run, whether it comes from its database or over HTTP."""

from collections.abc import Iterable, Mapping
from typing import Any

from metadata.importers.cleaning import is_not_a_number, number_of, text_of, whole_of
from metadata.importers.names import facts_of, split_of
from metadata.importers.spec import Draft, Given
from metadata.records import Measurement, Scalar

MOST_POINTS = 200_000  # of one run
MILLISECONDS = 1000.0
Point = tuple[str, Any, Any]  # the metric's name, its value and its step


def draft_of(
    run_id: str,
    *,
    status: object,
    start: object,
    end: object,
    experiment: object,
    dataset: object,
    params: Mapping[str, Any],
    points: Iterable[Point],
    given: Given,
) -> Draft:
    """Return one run of MLflow; its name, user, tags and artifacts are not taken."""
    curve, last, notes = _curve(points)
    told = facts_of(params, given.names)
    finals = facts_of({**last, **params}, given.names).facts
    facts: dict[str, Scalar] = {**finals, **told.facts}
    facts["state"] = text_of(status)
    facts["created_at"] = number_of(start)
    notes += told.notes
    if facts.get("train_seconds") is None:
        began, ended = number_of(start), number_of(end)
        if began is not None and ended is not None and ended > began > 0:
            facts["train_seconds"] = (ended - began) / MILLISECONDS
            notes.append("the seconds are those of the whole run, evaluation among them")
    if facts.get("dataset") is None:
        facts["dataset"] = text_of(dataset) or text_of(experiment)
        notes.append("the data are named by the run's inputs or its experiment")
    facts.setdefault("steps", max((point.step for point in curve), default=0) or None)
    losses = [value for name, value in last.items() if "loss" in name.lower()]
    if text_of(status) == "FINISHED" and any(is_not_a_number(value) for value in losses):
        facts |= {"state": "diverged", "reason": "its last loss is no number"}
    return Draft(
        label=f"run {text_of(run_id[:8]) or 'of MLflow'}",
        identity=run_id,
        facts=facts,
        curve=tuple(curve),
        notes=tuple(notes),
    )


def _curve(points: Iterable[Point]) -> tuple[list[Measurement], dict[str, Any], list[str]]:
    """Return what was measured, the last value of each metric, and notes."""
    curve: list[Measurement] = []
    last: dict[str, Any] = {}
    for count, (theirs, value, step) in enumerate(points):
        if count >= MOST_POINTS:
            return curve, last, [f"the curve is cut after {MOST_POINTS:,} points"]
        last[theirs] = value
        number = number_of(value)
        if number is None:
            continue
        name, split = split_of(theirs, otherwise="train")
        at = max(0, whole_of(step) or 0)
        curve.append(Measurement(name=name, step=at, value=number, split=split))
    return curve, last, []
