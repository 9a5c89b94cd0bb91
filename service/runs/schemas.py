"""Runs as JSON: the records of the meta-dataset with their score."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from metadata.notes import NOTHING_SAID, Note
from metadata.records import (
    Configuration,
    Costs,
    Measurement,
    Objective,
    Origin,
    Record,
    Run,
    RunState,
    Scores,
    Task,
)


class RunAnswer(Record):
    """A run; `score` is nats per token gained over the frozen base, higher is better.

    Lists leave `curve` empty. `note`, `tags` and `archived` are what people say of it.
    """

    id: str
    object: Literal["run"] = "run"
    created_at: datetime
    state: RunState
    reason: str
    score: float | None
    task: Task
    configuration: Configuration
    objective: Objective
    scores: Scores | None
    costs: Costs | None
    core: bool
    versions: dict[str, str]
    origin: Origin
    curve: tuple[Measurement, ...]
    note: str = ""
    tags: tuple[str, ...] = ()
    archived: bool = False


class NoteChange(Record):
    """What to say of a run; what is left out stays as it is."""

    note: str | None = Field(default=None, description="up to 10,000 characters; empty: none")
    tags: list[str] | None = Field(default=None, description="replace those of before")
    archived: bool | None = Field(
        default=None, description="true: out of lists and of the evidence; false takes it back"
    )


class RunDeleted(Record):
    """A run that is gone; its id stays known, so that no import brings it back."""

    id: str
    object: Literal["run"] = "run"
    deleted: Literal[True] = True


class RunList(Record):
    """Runs in the order asked for, without their curves; where fields were named, those alone."""

    object: Literal["list"] = "list"
    data: list[RunAnswer | dict[str, Any]]
    has_more: bool
    last_id: str | None
    total: int | None = Field(default=None, description="where it was asked for")


class FieldAnswer(Record):
    """A field by which runs are filtered and sorted."""

    name: str
    kind: str


class FieldList(Record):
    """All fields of fixed name."""

    object: Literal["list"] = "list"
    data: list[FieldAnswer]
    has_more: Literal[False] = False


class ParetoPoint(Record):
    """A run that no cheaper one equals."""

    id: str
    cost: float
    gain: float


class ParetoFront(Record):
    """Runs that none beats, the cheapest first."""

    object: Literal["list"] = "list"
    cost: str
    gain: str
    data: list[ParetoPoint]
    has_more: Literal[False] = False


class Curve(Record):
    """The learning curve of a run, in the order it was measured."""

    object: Literal["list"] = "list"
    run_id: str
    data: tuple[Measurement, ...]
    has_more: Literal[False] = False
    last_id: None = None


class Comparison(Record):
    """What some runs share, what differs as one value a run, and their curves."""

    object: Literal["comparison"] = "comparison"
    ids: list[str]
    same: dict[str, Any]
    differs: dict[str, list[Any]]
    curves: list[Curve]


def run_answer(run: Run, note: Note = NOTHING_SAID) -> RunAnswer:
    """Return a run as JSON tells it."""
    parts: dict[str, Any] = {name: getattr(run, name) for name in Run.model_fields}
    told: dict[str, Any] = {"note": note.text, "tags": note.tags, "archived": note.archived}
    return RunAnswer.model_construct(**parts, **told, score=run.score)  # the run was checked
