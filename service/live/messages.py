"""What a stream carries: messages of a kind, each with the position after it."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from metadata.records import Measurement, Record
from service.jobs.states import JobState

Kind = Literal["event", "points", "log", "progress", "job", "gone", "end"]


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message; `id` is what its reader sends back to go on after it."""

    kind: Kind
    data: Record
    id: str


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Messages in order, and where their reader then stands.

    Attributes:
        messages: What is new.
        position: After them.
        mark: What the topic looked like; None where there is more to read at once.
        is_last: Whether nothing will ever follow.
    """

    messages: tuple[Message, ...]
    position: Any
    mark: Any
    is_last: bool = False


class Points(Record):
    """Points of the curve of one attempt that were not sent before."""

    attempt: int
    data: tuple[Measurement, ...]


class LogPiece(Record):
    """What one attempt printed, from byte `offset` of it."""

    attempt: int
    offset: int
    text: str


class Progress(Record):
    """How far a job is."""

    status: JobState
    progress: float
    trained_tokens: int
    attempts: int


class JobLine(Record):
    """One job of the list as it stands."""

    job_id: str
    status: JobState
    progress: float = Field(ge=0, le=1)
    attempts: int
    model: str


class Gone(Record):
    """A job that was deleted, or is no more among those that the list shows."""

    job_id: str


class End(Record):
    """The last message of a job: it has ended as `status`, null where it was deleted."""

    status: JobState | None
