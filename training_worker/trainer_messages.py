"""What crosses the pipe between an attempt and its trainer: JSON, one message a line.

Down: one `Work`, then the bytes of the training file and of the validation file.
Up: `Note`s, and one `Done` at the end.
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from metadata.messages import Limits, Outcome
from metadata.methods.spec import Serving
from metadata.records import Configuration, Measurement, Record


class Work(Record):
    """What the trainer is to do; the files follow it, of these many bytes."""

    parent: int
    base_model: str
    configuration: Configuration
    serve_with: Serving | None
    limits: Limits
    output_folder: str | None
    training_bytes: int
    validation_bytes: int | None


class Note(Record):
    """A measurement, or only how far the training is."""

    kind: Literal["note"] = "note"
    measurement: Measurement | None = None
    trained_tokens: int = 0
    progress: float = Field(ge=0, le=1)


class Done(Record):
    """The end of the run."""

    kind: Literal["done"] = "done"
    outcome: Outcome


_MESSAGES: TypeAdapter[Note | Done] = TypeAdapter(
    Annotated[Note | Done, Field(discriminator="kind")]
)


def parse_message(line: bytes) -> Note | Done:
    """Return what the trainer said on one line."""
    return _MESSAGES.validate_json(line)
