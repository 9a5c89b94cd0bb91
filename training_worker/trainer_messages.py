"""What crosses the pipe between an attempt and its trainer: JSON, one message a line.

Down: one `Work`, then the bytes of the training file and of the validation file.
Up: `Note`s, a `Saved` after each checkpoint, a `Notice` of what should be known, and one `Done` at
the end. A trainer told to stop (SIGTERM) writes a checkpoint and ends with `PREEMPTED`, no `Done`.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from metadata.messages import Limits, Outcome
from metadata.methods.spec import Serving
from metadata.records import SUPERVISED, Configuration, Measurement, Objective, Record

Level = Literal["info", "warn", "error"]

PREEMPTED = 75  # the exit code of a trainer told to stop: EX_TEMPFAIL, try again later


class Work(Record):
    """What the trainer is to do; the files follow it, of these many bytes.

    Attributes:
        checkpoint_folder: Where all attempts of the job keep their checkpoints; None keeps none.
        checkpoint_seconds: The least time between two checkpoints; 0 writes one after every step.
    """

    parent: int
    base_model: str
    configuration: Configuration
    objective: Objective = SUPERVISED
    serve_with: Serving | None
    limits: Limits
    output_folder: str | None
    training_bytes: int
    validation_bytes: int | None
    checkpoint_folder: str | None = None
    attempt: int = Field(default=1, ge=1)
    checkpoint_seconds: float = Field(default=60.0, ge=0)


class Note(Record):
    """A measurement, or only how far the training is."""

    kind: Literal["note"] = "note"
    measurement: Measurement | None = None
    trained_tokens: int = 0
    progress: float = Field(ge=0, le=1)


class Saved(Record):
    """A checkpoint stands on disk, whole, under this name in the job's folder."""

    kind: Literal["saved"] = "saved"
    step: int
    name: str
    bytes: int


class Notice(Record):
    """Something that the one who waits for the job should know of."""

    kind: Literal["notice"] = "notice"
    level: Level
    message: str
    data: dict[str, Any] = Field(default_factory=dict)


class Done(Record):
    """The end of the run."""

    kind: Literal["done"] = "done"
    outcome: Outcome


Message = Note | Saved | Notice | Done

_MESSAGES: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])


def parse_message(line: bytes) -> Message:
    """Return what the trainer said on one line."""
    return _MESSAGES.validate_json(line)
