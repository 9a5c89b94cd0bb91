"""The tables of methods, optimizers, schedules, devices and models as JSON."""

from typing import Literal

from pydantic import Field

from metadata.methods.spec import Serving
from metadata.optimizers.spec import Kind
from metadata.records import Device, ModelProfile, Quantization, Record, Scalar, TargetModules


class ParameterAnswer(Record):
    """A value that an entry leaves open, with its range or its choices."""

    name: str
    kind: Literal["integer", "number", "choice"]
    default: Scalar
    lower: float | None = None
    upper: float | None = None
    log: bool = False
    choices: list[Scalar] | None = None


class PastRunsAnswer(Record):
    """How many past runs of the knowledge that answers tried an entry, on how many tasks."""

    count: int
    tasks: int
    says: str


class MethodAnswer(Record):
    """A PEFT method: everything that its entry in the table says."""

    object: Literal["method"] = "method"
    name: str
    title: str
    family: str
    parameters: list[ParameterAnswer]
    conditions: list[str] = Field(description="what must hold of the values on a model")
    uses_target_modules: bool
    trains_base: bool = Field(description="whether the model's own weights are trained")
    starts_at_base: bool = Field(
        description="whether the output before the first step is the frozen model's"
    )
    merges: bool
    no_merge: str | None = Field(description="why the result cannot become plain weights")
    exports: list[Literal["lora"]] = Field(
        description="forms of other libraries it can be saved in"
    )
    no_lora: str | None = Field(description="why the result cannot be saved as plain LoRA")
    served_by: list[Serving] = Field(
        description="what can load the result: PEFT, anything once merged, vLLM as an adapter"
    )
    quantizations: list[Quantization] = Field(description="quantised bases it can be put on")
    packs: bool = Field(description="whether several texts can stand in one row")
    rate_factor: float = Field(description="usual rate as a multiple of the width rule's for LoRA")
    rate_source: str
    paper: str
    past_runs: PastRunsAnswer


class OptimizerAnswer(Record):
    """An optimizer; every one takes a learning rate unless it finds its own."""

    object: Literal["optimizer"] = "optimizer"
    name: str
    title: str
    kind: Kind = Field(description="what it learns from")
    parameters: list[ParameterAnswer]
    has_learning_rate: bool
    state_bytes_per_weight: float
    methods: list[str] | None = Field(description="the methods it goes with; null: all")
    target_modules: list[TargetModules] | None = Field(description="the same; null: all")
    schedules: list[str] | None = Field(description="the same; null: all")
    needs_cuda: bool
    rate_factor: float = Field(description="usual rate as a multiple of AdamW's")
    rate_source: str
    paper: str
    past_runs: PastRunsAnswer


class ScheduleAnswer(Record):
    """A schedule of the learning rate after warm-up."""

    object: Literal["schedule"] = "schedule"
    name: str
    title: str
    parameters: list[ParameterAnswer]
    paper: str
    past_runs: PastRunsAnswer


class ModelDetails(Record):
    """What OpenAI's shape has no place for; a listed model lies on the server's machine.

    Of a model that was made here: its base, the base's profile, and the job that made it.
    """

    profile: ModelProfile
    is_listed: bool
    base_model: str | None = None
    job_id: str | None = None


class ModelAnswer(Record):
    """A base model that can be trained here, in OpenAI's shape."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str
    peft: ModelDetails


class _Table(Record):
    object: Literal["list"] = "list"
    has_more: Literal[False] = False
    last_id: str | None


class MethodList(_Table):
    """All methods."""

    data: list[MethodAnswer]


class OptimizerList(_Table):
    """All optimizers."""

    data: list[OptimizerAnswer]


class ScheduleList(_Table):
    """All schedules."""

    data: list[ScheduleAnswer]


class DeviceList(_Table):
    """All devices of the table."""

    data: list[Device]


class ModelList(_Table):
    """All models, the server's own first."""

    data: list[ModelAnswer]
