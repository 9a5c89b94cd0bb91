"""What is asked of an estimate and what it answers, as JSON."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from metadata.records import Configuration, Count, Record
from metadata.simulated import Kind, Peak, Phase
from service.jobs.requests import PeftChoice
from service.recommender.schemas import (
    BaseModelChoice,
    Budget,
    DatasetChoice,
    Hardware,
    Interval,
)

ChosenBy = Literal["caller", "recommendation", "recommender"]


class EstimateRequest(Record):
    """What would this run need? Without `peft` the first recommendation is estimated."""

    base_model: BaseModelChoice
    dataset: DatasetChoice
    hardware: Hardware
    budget: Budget = Budget()
    peft: PeftChoice | None = None


class Knob(Record):
    """One choice that would lower the peak, all else as it is.

    `relieves` is the kind of memory that shrinks most, `time_factor` how much longer training
    takes at the same micro-batch; null where the micro-batch itself is the choice.
    """

    name: str
    value: str
    relieves: Kind
    frees_bytes: Count
    time_factor: float | None
    sentence: str


class EstimateAnswer(Record):
    """Time, memory and money of one run, and what takes the room.

    `configuration` is what was asked for with `gradient_checkpointing` as chosen; a job of it runs
    as estimated. `phases` is the memory of one device over one step by the formula, without what
    past runs correct; `advice` says in sentences what they and `knobs` hold.
    """

    object: Literal["estimate"] = "estimate"
    configuration: Configuration
    chosen_by: ChosenBy
    recommendation_id: str | None
    rank: int | None
    train_seconds: Interval
    peak_memory_bytes: Interval
    memory_bytes: Count = Field(description="what one device offers, or the budget where less")
    cost_usd: float | None
    fits: bool
    micro_batch_size: int
    accumulation_steps: int
    gradient_checkpointing: bool
    length_tokens: int = Field(description="of the longest batch, by which memory is counted")
    steps: int
    tokens: int
    trainable_parameters: int
    phases: Mapping[Phase, Peak]
    knobs: list[Knob]
    advice: list[str]
    notes: list[str]
    knowledge_version: str
