"""What is known of one fine-tuning run: frozen, checked values with the unit in each name.

Nothing here knows which methods or optimizers exist: `metadata.space.check` does.
"""

import hashlib
import json
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Scalar = bool | int | float | str | None
Name = Annotated[str, Field(min_length=1, max_length=200)]
Positive = Annotated[int, Field(gt=0, le=10**15)]
Count = Annotated[int, Field(ge=0, le=10**15)]
Seconds = Annotated[float, Field(ge=0)]

TargetModules = Literal["qv", "qk", "attention", "mlp", "all-linear"]
Precision = Literal["fp32", "bf16"]
Quantization = Literal["none", "int8", "nf4"]
Attention = Literal["sdpa", "eager", "flash_attention_2"]
Clipping = Literal["global", "component", "none"]
RunState = Literal["succeeded", "diverged", "out_of_memory", "timed_out", "failed"]
DatasetKind = Literal["classification", "extraction", "generation", "text", "preference"]
TrainingObjective = Literal["supervised", "dpo"]

DPO_BETA = 0.1  # the usual one: section 6 of arXiv 2305.18290, and TRL's default


class Record(BaseModel):
    """A frozen value without unknown fields, NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Choice(Record):
    """An entry of a table by its name, with the values chosen for its parameters."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[str, Scalar] = Field(init=False)

    name: Name

    @property
    def values(self) -> dict[str, Scalar]:
        """Return the chosen values without the name."""
        return dict(self.model_extra or {})


class OptimizerChoice(Choice):
    """An optimizer; `learning_rate` is None only where the optimizer finds its own."""

    learning_rate: Annotated[float, Field(gt=0, le=100)] | None = None
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0


class ScheduleChoice(Choice):
    """How the learning rate moves; the warm-up is a share of all optimizer steps."""

    warmup_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Configuration(Record):
    """One way to fine-tune. The micro-batch is chosen at run time and never changes it."""

    method: Choice
    target_modules: TargetModules = "all-linear"
    optimizer: OptimizerChoice
    schedule: ScheduleChoice = ScheduleChoice(name="linear")
    batch_size: Annotated[int, Field(ge=1, le=65_536, description="examples per step")] = 8
    epochs: Annotated[float, Field(gt=0, le=10_000)] = 1.0
    max_length_tokens: Annotated[int, Field(ge=8, le=1_048_576)] = 512
    loss_on: Literal["completion", "all"] = "completion"
    precision: Precision = "fp32"
    quantization: Quantization = "none"
    gradient_clipping: Clipping = "global"
    gradient_checkpointing: bool = False
    packing: bool = False
    attention: Attention = "sdpa"
    keep: Literal["best", "last"] = "best"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    @property
    def key(self) -> str:
        """Name the configuration by its content, the seed left out, so that repeats group."""
        return content_hash(self.model_dump(mode="json", exclude={"seed"}))[:16]


class Objective(Record):
    """What a run lowers: the loss of the completions, or that of DPO (arXiv 2305.18290).

    `beta` is DPO's own: how dearly it is paid to leave the base.
    """

    name: TrainingObjective = "supervised"
    beta: Annotated[float, Field(gt=0, le=100)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _has_the_usual_beta(cls, values: object) -> object:
        is_open = isinstance(values, dict) and values.get("beta") is None
        if isinstance(values, dict) and is_open and values.get("name") == "dpo":
            return {**values, "beta": DPO_BETA}
        return values

    @model_validator(mode="after")
    def _has_beta_where_it_counts(self) -> "Objective":
        if self.name != "dpo" and self.beta is not None:
            raise ValueError(f"beta is of dpo alone, got {self.beta} beside {self.name}")
        return self


SUPERVISED = Objective()


class ModelProfile(Record):
    """The sizes of a causal language model, as its `config.json` states them."""

    id: Name
    family: Name
    parameters: Positive
    layers: Positive
    hidden_size: Positive
    heads: Positive
    key_value_heads: Positive
    head_size: Positive
    mlp_width: Positive
    vocabulary: Positive
    context_tokens: Positive
    tied_embeddings: bool
    biases: Literal["none", "qkv", "all"] = "none"
    bytes_per_token: Annotated[float, Field(gt=0.2, le=32)] = 4.0


class Lengths(Record):
    """How long texts are, in UTF-8 bytes."""

    mean: Annotated[float, Field(ge=0, le=10**15)]
    p50: Count
    p90: Count
    p99: Count
    max: Count


class Probe(Record):
    """What the frozen base says of the data before training, in nats per completion token.

    The gradient is that of the mean loss of some examples, by all weights of the base.
    """

    loss_mean: Annotated[float, Field(ge=-(10**6), le=10**6)]
    loss_spread: Annotated[float, Field(ge=0, le=10**6)]
    token_accuracy: Annotated[float, Field(ge=0, le=1)] | None = None
    gradient_norm: Annotated[float, Field(ge=0, le=10**12)] | None = None


class DatasetProfile(Record):
    """A training set in numbers. Lengths are bytes: tokens follow from a model's tokenizer.

    `group` names the fold in evaluation: all sizes of one dataset share it.
    """

    name: Name
    group: Name
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    kind: DatasetKind
    examples: Positive
    prompt_bytes: Lengths
    completion_bytes: Lengths
    distinct_words: Count
    repeated_word_fraction: Annotated[float, Field(ge=0, le=1)]
    distinct_completions: Positive
    completion_entropy_bits: Annotated[float, Field(ge=0, le=64)]
    duplicate_fraction: Annotated[float, Field(ge=0, le=1)]
    compression_ratio: Annotated[float, Field(gt=0, le=1000)]
    probe: Probe | None = None


class Device(Record):
    """What a configuration runs on; `count` equal devices. FLOP/s are dense, from a data sheet."""

    name: Name
    kind: Literal["cuda", "cpu", "mps"]
    memory_bytes: Positive
    bf16_tflops: Annotated[float, Field(gt=0)]
    bandwidth_gb_per_second: Annotated[float, Field(gt=0)]
    launch_microseconds: Annotated[float, Field(gt=0)]
    count: Annotated[int, Field(ge=1, le=1024)] = 1
    usd_per_hour: Annotated[float, Field(ge=0)] | None = None


class Task(Record):
    """What is to be fine-tuned, on what, where."""

    model: ModelProfile
    dataset: DatasetProfile
    device: Device

    @property
    def pair(self) -> str:
        """Name what a score belongs to: base model and data, whatever the device."""
        return f"{self.model.id}:{self.dataset.sha256[:16]}"


class Measurement(Record):
    """One number of a run at one optimizer step."""

    name: Name
    step: Count
    value: float
    split: Literal["train", "validation", "test"]


class PreferenceScores(Record):
    """How far DPO moved the held-out pairs: means of the margin between a pair's two rewards.

    A reward is beta times the log-probability of a completion less the base's. `accuracy` is the
    share of pairs whose margin is above 0, ties half, so that the base itself has 0.5.
    """

    base_margin: float
    margin: float
    base_accuracy: Annotated[float, Field(ge=0, le=1)]
    accuracy: Annotated[float, Field(ge=0, le=1)]


class Scores(Record):
    """Held-out results on the test split; losses are nats per completion token.

    Of DPO they are its loss, in nats per pair. `gain` of a checkpoint is `base_loss` minus its
    loss: the score by which runs are ranked.
    """

    base_loss: float
    best_loss: float
    last_loss: float
    exact_match: Annotated[float, Field(ge=0, le=1)] | None = None
    mean_reciprocal_rank: Annotated[float, Field(ge=0, le=1)] | None = None
    forgotten: float | None = Field(
        default=None, description="nats per token lost on text of the base's own kind"
    )
    preference: PreferenceScores | None = Field(default=None, description="of DPO alone")

    def gain(self, keep: Literal["best", "last"]) -> float:
        """Return nats gained over the frozen base by the checkpoint that is kept."""
        return self.base_loss - (self.best_loss if keep == "best" else self.last_loss)


class Costs(Record):
    """What a run used. CPU seconds are of the process; tensor bytes are of live tensors."""

    train_seconds: Seconds
    eval_seconds: Seconds
    train_cpu_seconds: Seconds
    eval_cpu_seconds: Seconds
    peak_tensor_bytes: Count
    peak_device_bytes: Count
    trained_tokens: Count
    steps: Count
    trainable_parameters: Count
    joules: Annotated[float, Field(ge=0)] | None = None


IMPORTED = "imported-"  # how the ids of imported runs begin


class Origin(Record):
    """Where a run comes from: our own worker, or an importer and its source.

    `gaps` names, by commas, the parts of an imported run that its source leaves open.
    """

    source: Name
    detail: Annotated[str, Field(max_length=500)] = ""
    gaps: Annotated[str, Field(max_length=1000)] = ""


class Run(Record):
    """One configuration tried on one task. A failed run is knowledge too: it keeps its reason."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    task: Task
    configuration: Configuration
    objective: Objective = SUPERVISED
    state: RunState
    reason: Annotated[str, Field(max_length=2000)] = ""
    curve: tuple[Measurement, ...] = ()
    scores: Scores | None = None
    costs: Costs | None = None
    core: bool = Field(default=False, description="of the configurations fixed beforehand")
    versions: dict[str, str] = Field(default_factory=dict)
    origin: Origin
    created_at: datetime

    @field_validator("created_at")
    @classmethod
    def _has_a_time_zone(cls, value: datetime) -> datetime:
        if value.tzinfo is None:
            raise ValueError("created_at needs a time zone, such as 2026-01-31T12:00:00Z")
        return value

    @property
    def score(self) -> float | None:
        """Return nats gained over the frozen base, or None where nothing was scored."""
        return None if self.scores is None else self.scores.gain(self.configuration.keep)


def content_hash(value: object) -> str:
    """Return the SHA-256 of a JSON value, keys sorted, as hex."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
