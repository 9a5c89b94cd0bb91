"""What runs show together, as JSON."""

from typing import Any, Literal

from pydantic import Field

from metadata.records import Record


class SeedGroup(Record):
    """Runs of one configuration on one task; `spread` is the standard deviation of scores."""

    dataset_name: str
    model_id: str
    device_name: str
    method: str
    configuration_key: str
    run_ids: list[str]
    seeds: list[int]
    scored: int
    failed: int
    mean: float | None
    spread: float | None
    lowest: float | None
    highest: float | None
    mean_train_seconds: float | None


class SeedList(Record):
    """Configurations that were run more than once, those run most often first.

    `noise` is the standard deviation of a score over all `groups`, pooled.
    """

    object: Literal["list"] = "list"
    data: list[SeedGroup]
    has_more: bool
    groups: int
    runs: int
    noise: float | None
    degrees_of_freedom: int


class KnobImportance(Record):
    """A knob and the share of the variance that forecasts lose without it."""

    name: str
    importance: float
    spread: float = Field(description="standard deviation over folds")
    values: int
    runs: int


class ImportanceAnswer(Record):
    """The knobs, the most important first; `dataset` is null over all.

    `explained` is the share of variance that forecasts of configurations left out explain.
    """

    dataset: str | None
    runs: int
    drawn_from: int
    explained: float
    knobs: list[KnobImportance]
    advice: str


class ImportanceList(Record):
    """Over all datasets first, then each where asked for."""

    object: Literal["list"] = "list"
    data: list[ImportanceAnswer]
    has_more: Literal[False] = False


class FailureReason(Record):
    """A reason for which runs failed; # stands for numbers, `example` is one in full."""

    state: str
    reason: str
    example: str
    runs: int
    methods: dict[str, int]
    run_ids: list[str]


class Tried(Record):
    """How many runs there are, and how many of them failed."""

    runs: int
    failed: int


class FailureList(Record):
    """The reasons, the most frequent first; `methods` has those that did not fail too."""

    object: Literal["list"] = "list"
    data: list[FailureReason]
    has_more: Literal[False] = False
    runs: int
    failed: int
    methods: dict[str, Tried]


class KnobCovered(Record):
    """What was seen of a knob, against what the space has; `share` is the part covered.

    Where the space does not draw it, range and share are null. `entry` is the method, optimizer
    or schedule whose own it is.
    """

    name: str
    entry: str | None
    runs: int
    distinct: int
    low: float | None
    high: float | None
    space_low: float | None
    space_high: float | None
    is_log: bool
    values: dict[str, int] = Field(description="the 20 most frequent")
    unseen: list[str]
    share: float | None


class MethodTried(Tried):
    """How often a method was tried, failed, and was scored."""

    scored: int


class CoverageAnswer(Record):
    """What the runs cover of the space of configurations."""

    object: Literal["coverage"] = "coverage"
    runs: int
    knobs: list[KnobCovered]
    methods: dict[str, MethodTried]
    untried_methods: list[str]


class ComparedAnswer(Record):
    """A forecast with its 90 % interval, what was observed, and whether it was inside."""

    expected: float
    low: float
    high: float
    observed: float | None
    inside: bool | None


class PredictedRun(Record):
    """A run of a recommended configuration; memory is that of live tensors."""

    run_id: str
    job_id: str
    recommendation_id: str
    rank: int
    knowledge_version: str
    dataset_name: str
    model_id: str
    method: str
    state: str
    score: float | None
    failure_probability: float
    quantities: dict[str, ComparedAnswer]


class HeldAnswer(Record):
    """How many runs tell of a quantity, how many were inside, the median of observed / expected."""

    runs: int
    inside: int
    median_ratio: float | None


class PredictedList(Record):
    """Recommended runs, newest first; `held` is over all of them, not over this list alone."""

    object: Literal["list"] = "list"
    data: list[PredictedRun]
    has_more: bool
    runs: int
    held: dict[str, HeldAnswer]


def plain(value: Any) -> Any:
    """Return a dataclass as its values by name, for the schema of the same names."""
    return dict(vars(value))
