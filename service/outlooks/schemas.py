"""What is asked of a choice among base models, and what is answered, as JSON."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from metadata.model_outlook import Basis
from metadata.records import Name, Positive, Record
from service.recommender.schemas import (
    BaseModelChoice,
    Budget,
    DatasetChoice,
    Hardware,
    Interval,
    RecommendedConfiguration,
)

MOST_MODELS = 20


class SmallRun(Record):
    """What one run of a model on a part of the data came to."""

    model: Name
    examples: Positive = Field(description="trained on, without those that validate and test")
    loss: Annotated[float, Field(gt=0, le=1000)] = Field(
        description="held-out nats per completion token; of preferences DPO's, per pair"
    )


class ModelsRequest(Record):
    """Which of these models should I fine-tune on this data?"""

    base_models: Annotated[list[BaseModelChoice], Field(min_length=1, max_length=MOST_MODELS)]
    dataset: DatasetChoice
    hardware: Hardware
    budget: Budget = Budget()
    runs: Annotated[list[SmallRun], Field(max_length=1000)] = Field(
        default=[],
        description="runs on parts of the data, beside those of the same data in the history, "
        "where parts of an uploaded file are not known as such",
    )

    @model_validator(mode="after")
    def _names_each_once(self) -> "ModelsRequest":
        ids = [model.id for model in self.base_models]
        twice = sorted({one for one in ids if ids.count(one) > 1})
        if twice:
            raise ValueError(f"base_models names each model once, got {twice[0]} twice")
        strange = sorted({run.model for run in self.runs} - set(ids))
        if strange:
            raise ValueError(f"runs are of the base_models, got one of {strange[0]}")
        return self


class Law(Record):
    """L(D) = scale / (transition_examples^exponent + D^exponent) + floor, in the loss's unit."""

    scale: float
    transition_examples: float
    exponent: float
    floor: float


class ModelOutlook(Record):
    """One model: what it would come to on all of the data, and how it would be trained.

    `basis` is what that stands on: `law`; `one_size`, the loss seen; `largest_size`, the loss seen
    there, since losses rise with more examples; `size`, the model's own, without a forecast.
    `sizes` count examples trained on. Of preferences the loss is DPO's, `loss_per_pair`, else
    `loss_per_byte`; both are null where no run of the model on the data is known. `configuration`
    is null where nothing fits, and `next_step` then says what would.
    """

    rank: int
    model: str
    parameters: int
    basis: Basis | Literal["size"]
    sizes: list[int]
    loss_per_byte: Interval | None
    loss_per_pair: Interval | None
    law: Law | None
    configuration: RecommendedConfiguration | None
    next_step: str


class ModelsAnswer(Record):
    """Models in the order to prefer them: those that fit first, the least expected loss first.

    `examples` is how many of the data would be trained on; the rest validates and tests.
    """

    object: Literal["list"] = "list"
    data: list[ModelOutlook]
    examples: int
    advice: str
    has_more: bool = False
    last_id: str | None = None
