"""What crosses HTTP between the service and an attempt of the training worker.

Order of one attempt: claim -> (renew | report | log)* -> finish or release. Every message after
the claim carries the token in `Authorization: Bearer`, never in a body.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from metadata.methods.spec import Serving
from metadata.records import (
    SUPERVISED,
    Configuration,
    Costs,
    DatasetProfile,
    Measurement,
    Objective,
    Record,
    RunState,
    Scores,
)

CHECKPOINT_MARK = "mark"  # the file above the folders of checkpoints that tells which folder it is


class Claim(Record):
    """Ask for the attempt that a one-use code stands for."""

    code: Annotated[str, Field(min_length=16, max_length=200)]


class Limits(Record):
    """What an attempt may use before it ends as `timed_out` or `out_of_memory`."""

    train_seconds: Annotated[float, Field(gt=0)] | None = None
    memory_bytes: Annotated[int, Field(gt=0)] | None = None


class Assignment(Record):
    """The work behind a claim. The data is fetched from `.../attempts/{id}/training-file`."""

    attempt_id: str
    token: str
    job_id: str
    base_model: str
    model_path: str | None = Field(
        default=None, description="folder on the server's own list, for workers on its machine"
    )
    dataset: DatasetProfile
    validation_file: bool = False
    configuration: Configuration
    objective: Objective = SUPERVISED
    serve_with: Serving | None = Field(
        default=None, description="what is to load the result; null: as the method leaves it"
    )
    limits: Limits = Limits()
    generation: Annotated[int, Field(ge=1)] = Field(
        default=1, description="number of this attempt at its job"
    )
    checkpoint_folder: str | None = Field(
        default=None, description="where the job's checkpoints lie, for workers that share it"
    )
    checkpoint_mark: str = Field(
        default="", description="what the file `mark` above that folder holds, where it is shared"
    )
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 60.0
    renew_seconds: float


class Notice(Record):
    """Something that the events of a job should tell."""

    level: Literal["info", "warn", "error"] = "info"
    message: Annotated[str, Field(max_length=2000)]
    data: dict[str, Any] = Field(default_factory=dict)


class SavedCheckpoint(Record):
    """A checkpoint that stands on disk, whole and verified, under its name in the job's folder."""

    name: Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{1,64}$")]
    step: Annotated[int, Field(ge=0)]
    size_bytes: Annotated[int, Field(ge=0)]
    progress: Annotated[float, Field(ge=0, le=1)] = 0.0


class Report(Record):
    """What happened since the last report: points of the curve, notices, checkpoints.

    Reports of an attempt are numbered from 1. One whose number came before is taken for said: an
    answer may have been lost on the way.
    """

    number: Annotated[int, Field(ge=1)]
    measurements: Annotated[tuple[Measurement, ...], Field(max_length=10_000)] = ()
    notices: Annotated[tuple[Notice, ...], Field(max_length=1000)] = ()
    checkpoints: Annotated[tuple[SavedCheckpoint, ...], Field(max_length=1000)] = ()
    trained_tokens: int = 0
    progress: Annotated[float, Field(ge=0, le=1)] = 0.0


class Release(Record):
    """Give a job back unfinished, because its worker must stop or lost its trainer."""

    reason: Annotated[str, Field(max_length=2000)]
    is_loss: bool = Field(
        default=False, description="counts as a try lost to infrastructure; else it costs none"
    )


class Outcome(Record):
    """How an attempt ended. The curve stands in the reports sent before."""

    state: RunState
    reason: Annotated[str, Field(max_length=2000)] = ""
    scores: Scores | None = None
    costs: Costs | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    device_name: str = ""
    device_count: Annotated[int, Field(ge=1, le=1024)] = 1
    adapter_folder: str | None = None


class Renewed(Record):
    """The answer to a renewal: go on, or stop because the job was paused or cancelled."""

    go_on: bool
    because: Literal["", "paused", "cancelled"] = ""
