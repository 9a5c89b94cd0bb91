"""Runs as JSON: the records of the meta-dataset with their score."""

from datetime import datetime
from typing import Literal

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

    Lists leave `curve` empty.
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


class RunList(Record):
    """Runs in the order asked for, without their curves."""

    object: Literal["list"] = "list"
    data: list[RunAnswer]
    has_more: bool
    last_id: str | None


class Curve(Record):
    """The learning curve of a run, in the order it was measured."""

    object: Literal["list"] = "list"
    run_id: str
    data: tuple[Measurement, ...]
    has_more: Literal[False] = False
    last_id: None = None


def run_answer(run: Run) -> RunAnswer:
    """Return a run as JSON tells it."""
    parts = {name: getattr(run, name) for name in Run.model_fields}
    return RunAnswer(**parts, score=run.score)
