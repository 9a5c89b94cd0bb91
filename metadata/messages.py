"""What crosses HTTP between the service and an attempt of the training worker.

Order of one attempt: claim -> (renew | measurements)* -> finish. Every message after the claim
carries the token in `Authorization: Bearer`, never in a body.
"""

from typing import Annotated

from pydantic import Field

from metadata.methods.spec import Serving
from metadata.records import (
    Configuration,
    Costs,
    DatasetProfile,
    Measurement,
    Record,
    RunState,
    Scores,
)


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
    serve_with: Serving | None = Field(
        default=None, description="what is to load the result; null: as the method leaves it"
    )
    limits: Limits = Limits()
    renew_seconds: float


class MeasurementBatch(Record):
    """New points of the learning curve."""

    measurements: Annotated[tuple[Measurement, ...], Field(max_length=10_000)]
    trained_tokens: int = 0
    progress: Annotated[float, Field(ge=0, le=1)] = 0.0


class Outcome(Record):
    """How an attempt ended. `curve` stands in the measurements sent before."""

    state: RunState
    reason: Annotated[str, Field(max_length=2000)] = ""
    scores: Scores | None = None
    costs: Costs | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    device_name: str = ""
    adapter_folder: str | None = None


class Renewed(Record):
    """The answer to a renewal: go on, or stop because the job was cancelled."""

    go_on: bool
