"""What an entry of the optimizer table and of the schedule table says."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from metadata.methods.spec import Count
from metadata.parameters import Parameter, Values
from metadata.records import Scalar, TargetModules

Kind = Literal["gradient", "zeroth_order", "population"]


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec:
    """One optimizer as data.

    Attributes:
        target: Dotted name of a torch optimizer class, or of a function of our own
            `(groups, configuration, **values) -> optimizer`; only the worker resolves it.
        kind: What it learns from: gradients, differences of losses (zeroth_order), or the losses
            of a population of candidates.
        parameters: Searched besides the learning rate, weight decay among them.
        state_bytes: Bytes of optimizer state per trained fp32 weight; of a matrix where vectors
            and embeddings are treated otherwise.
        factored: Whether a matrix has but a row and a column of state; `state_bytes` is that of a
            weight of a vector then.
        frozen: Parts of the names of weights that it leaves as they start.
        trainable: What it trains of the method's weights, counted as the method's are; all if None.
        rate_factor: Multiple of AdamW's learning rate at which it usually works.
        schedules: The schedules it goes with; empty: all.
        methods: The methods it goes with; empty: all.
        target_modules: The target modules it goes with; empty: all.
        needs_cuda: Whether it runs on NVIDIA GPUs only.
    """

    name: str
    title: str
    target: str
    kind: Kind = "gradient"
    parameters: tuple[Parameter, ...]
    fixed: Mapping[str, Scalar] = field(default_factory=dict)
    state_bytes: float
    factored: bool = False
    frozen: tuple[str, ...] = ()
    trainable: Count | None = None
    has_learning_rate: bool = True
    rate_factor: float = 1.0
    rate_source: str
    schedules: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    target_modules: tuple[TargetModules, ...] = ()
    needs_cuda: bool = False
    paper: str


@dataclass(frozen=True, kw_only=True)
class ScheduleSpec:
    """One schedule: `multiplier(progress, values)` of the rate, with progress after warm-up.

    Attributes:
        ends_at: The multiple of the rate at which it ends.
    """

    name: str
    title: str
    parameters: tuple[Parameter, ...] = ()
    multiplier: Callable[[float, Values], float]
    ends_at: float = 0.0
    paper: str
