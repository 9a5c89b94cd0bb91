"""What is asked of the recommender and what it answers, as JSON."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from metadata.kinds import Kind
from metadata.methods.spec import Serving
from metadata.records import Configuration, DatasetProfile, Name, Record, TrainingObjective

Objective = Literal["quality", "balanced", "cheapest"]
Source = Literal["portfolio", "past_winner", "neighbour", "sample", "default", "rule", "usual"]


class BaseModelChoice(Record):
    """A model by its id, or by the content of its `config.json` where the id is not known."""

    id: Name
    config: dict[str, Any] | None = None


class DatasetChoice(Record):
    """The data: an uploaded file, records as in a training file, or a profile made before."""

    file_id: Name | None = None
    examples: Annotated[list[dict[str, Any]], Field(max_length=2000)] | None = None
    profile: DatasetProfile | None = None

    @model_validator(mode="after")
    def _is_one_of_three(self) -> "DatasetChoice":
        given = [n for n in ("file_id", "examples", "profile") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(
                "dataset needs exactly one of file_id, examples and profile, "
                f"got {', '.join(given) or 'none'}"
            )
        return self


class Hardware(Record):
    """The device by its name in the table, how many; memory and price where they differ."""

    device: Name
    count: Annotated[int, Field(ge=1, le=1024)] = 1
    memory_gib: Annotated[float, Field(gt=0, le=10_000)] | None = None
    usd_per_hour: Annotated[float, Field(ge=0, le=10**6)] | None = Field(
        default=None, description="price of one device, where the table has none or another"
    )


class Budget(Record):
    """What one run may use at most; compared with the upper end of each forecast."""

    train_minutes: Annotated[float, Field(gt=0, le=10**6)] | None = None
    usd: Annotated[float, Field(gt=0, le=10**9)] | None = None
    memory_gib: Annotated[float, Field(gt=0, le=10_000)] | None = None


class RecommendationRequest(Record):
    """How do I fine-tune this model on this data, with this hardware and budget?"""

    base_model: BaseModelChoice
    dataset: DatasetChoice
    hardware: Hardware
    budget: Budget = Budget()
    objective: Objective = Field(
        default="quality",
        description=(
            "quality: the least expected regret. balanced: ten times the training time has to buy "
            "0.15 less regret. cheapest: the least training time within `cheapest_within` of the "
            "least regret."
        ),
    )
    cheapest_within: Annotated[float, Field(ge=0, le=2)] = Field(
        # At 0.02 the cheapest is often dearer than `balanced`, which lets a doubled time buy 0.045.
        default=0.1,
        description="regret that the cheapest may give away; 1 is best to median",
    )
    forgetting_weight: Annotated[float, Field(ge=0, le=100)] = Field(
        default=0.0,
        description="nats per token of quality that a nat is worth which the base model forgets "
        "of text of its own; 0: forgetting does not count",
    )
    training_objective: TrainingObjective | None = Field(
        default=None,
        description="what is learnt: supervised, from completions, or dpo, from preferences; null: "
        "what the data are for",
    )
    methods: Annotated[list[Name], Field(min_length=1, max_length=100)] | None = None
    serve_with: Serving | None = Field(
        default=None,
        description=(
            "what must be able to load the result. peft: an adapter, as PEFT loads it. merged: "
            "plain weights of the model, which anything loads. vllm: a plain LoRA adapter."
        ),
    )
    count: Annotated[int, Field(ge=1, le=50)] = 5


class Interval(Record):
    """A forecast with its 90 % interval."""

    expected: float
    low: float
    high: float


class Quality(Record):
    """Regret is 0 for the best configuration of a task and 1 for its median one."""

    expected_regret: float
    low: float
    high: float
    beats_default_probability: Annotated[float, Field(ge=0, le=1)]


class NearRun(Record):
    """A past run of the same kind, with its result.

    `regret` is null where too little else was tried on its data to say.
    """

    run_id: str
    dataset: str
    model: str
    score: float | None
    regret: float | None
    distance: float


class Effect(Record):
    """What one choice adds to the expected regret of this configuration; below 0 helps."""

    choice: str
    value: str
    regret_change: float


class Why(Record):
    """Where a configuration comes from and what speaks for it."""

    source: Source
    nearest_runs: list[NearRun]
    effects: list[Effect]


class RecommendedConfiguration(Record):
    """One ranked configuration with its forecasts."""

    rank: int
    configuration: Configuration
    quality: Quality
    train_seconds: Interval
    peak_memory_bytes: Interval
    failure_probability: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="that training diverges; priced into the expected regret"
    )
    forgotten_nats: Interval | None = Field(
        default=None,
        description="nats per token that the base model loses on text of its own; null where no "
        "past run reports it",
    )
    cost_usd: float | None
    trainable_parameters: int
    micro_batch_size: int
    accumulation_steps: int
    steps: int
    fits: bool
    pareto: bool
    why: Why


class FrontPoint(Record):
    """A configuration that no candidate beats in expected regret, time and memory at once.

    `rank` is its place in the list, null where it is not in it.
    """

    rank: int | None = None
    configuration: Configuration
    expected_regret: float
    train_seconds: Interval
    peak_memory_bytes: Interval
    cost_usd: float | None


class Exclusion(Record):
    """How many candidates left by one rule, and what would bring them back."""

    rule: str
    count: int
    next_step: str


class SourceOrder(Record):
    """How own runs, and the other sources, order what one published source found.

    Both are Kendall's tau: 1 is the same order, 0 none, -1 the reverse.
    """

    source: str
    own_runs_tau: float
    published_tau: float


class EvidenceSummary(Record):
    """What the answer stands on. Distance is in units of the usual one between known tasks.

    `judged_among` is what regret is among: everything, adapters only, or what takes at most half
    the memory or time of a usual run. `published_share` is that of published results in what is
    expected, 0 near own runs.
    """

    runs: int
    tasks: int
    distance: float
    in_distribution: bool
    farthest: list[str]
    judged_among: Kind = "free"
    published_share: float = 0.0
    sources: tuple[SourceOrder, ...] = ()
    advice: str


class RecommendationAnswer(Record):
    """Ranked configurations, the forecast of the default one, and what the answer stands on."""

    id: str
    object: Literal["recommendation"] = "recommendation"
    created_at: datetime
    training_objective: TrainingObjective = "supervised"
    configurations: list[RecommendedConfiguration]
    default: RecommendedConfiguration
    front: list[FrontPoint] = Field(
        default_factory=list,
        description="what fits and no candidate beats in expected regret, training time and peak "
        "memory at once, the fastest first; at most 20, evenly many by time, fastest and slowest "
        "kept. Money goes with time. Empty in answers of before it was told",
    )
    evidence: EvidenceSummary
    excluded: list[Exclusion]
    knowledge_version: str


class HeldOutKind(Record):
    """Mean regret of the best of the first k of a list, on datasets left out; k as text.

    `trust` is the share of what a task is expected to change that is believed: with 0 the list is
    the greedy portfolio.
    """

    datasets: int
    ours: dict[str, float]
    portfolio: dict[str, float]
    trust: float


class HeldOut(Record):
    """Mean regret of the best of the first k of a list, on datasets left out; k as text.

    `kinds` tells the same of questions that allow everything, adapters only, or half the memory
    or time of a usual run, each judged among what it allows.
    """

    datasets: int
    ours: dict[str, float]
    portfolio: dict[str, float]
    kinds: dict[Kind, HeldOutKind] = Field(default_factory=dict)


class KnowledgeVersion(Record):
    """One version of knowledge: what it was learnt from and how good it is."""

    version: str
    object: Literal["knowledge"] = "knowledge"
    is_current: bool
    is_shipped: bool
    runs: int
    tasks: int
    datasets: int
    models: list[str]
    held_out: HeldOut


class KnowledgeList(Record):
    """Every version that can answer, by name."""

    object: Literal["list"] = "list"
    data: list[KnowledgeVersion]
    has_more: bool = False
    last_id: str | None = None


class RefitAnswer(Record):
    """What a refit came to; `after` is live only where `activated`."""

    object: Literal["refit"] = "refit"
    activated: bool
    reason: str
    before: KnowledgeVersion
    after: KnowledgeVersion
