"""Requests for jobs, in OpenAI's shape with one more object, `peft`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from metadata.methods.spec import Serving
from metadata.records import (
    DPO_BETA,
    SUPERVISED,
    Configuration,
    Name,
    Objective,
    Record,
    TrainingObjective,
)

Label = Annotated[str, Field(max_length=64)]
LabelValue = Annotated[str, Field(max_length=512)]
Suffix = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]


class PeftChoice(Record):
    """What to run, and what is to load the result.

    A whole configuration, or a rank of a recommendation given before, whose `serve_with` holds
    where none is given here; with neither the recommender chooses.
    """

    configuration: Configuration | None = None
    recommendation_id: Name | None = None
    rank: Annotated[int, Field(ge=1, le=50)] = 1
    serve_with: Serving | None = Field(
        default=None,
        description="what must be able to load the result: peft, as an adapter; merged, plain "
        "weights of the model; vllm, as a plain LoRA adapter",
    )
    priority: Annotated[int, Field(ge=-100, le=100)] = Field(
        default=0, description="jobs of a higher one start first"
    )
    max_minutes: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="training ends after so many, kept or not"
    )
    max_usd: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="training ends once it has cost so much"
    )

    @model_validator(mode="after")
    def _is_not_both(self) -> "PeftChoice":
        if self.configuration is not None and self.recommendation_id is not None:
            raise ValueError(
                "peft takes either configuration or recommendation_id (with rank), got both"
            )
        if not self.model_fields_set - {"rank"}:
            raise ValueError(
                "peft needs configuration, recommendation_id (with rank), serve_with, priority, "
                "max_minutes or max_usd, got none"
            )
        return self


class Hyperparameters(Record):
    """OpenAI's own three: what is `auto` is left to the recommender."""

    n_epochs: Literal["auto"] | Annotated[int, Field(ge=1, le=1000)] = "auto"
    batch_size: Literal["auto"] | Annotated[int, Field(ge=1, le=4096)] = "auto"
    learning_rate_multiplier: Literal["auto"] | Annotated[float, Field(gt=0, le=1000)] = Field(
        default="auto", description="a multiple of the rate that the recommender gives"
    )


class Supervised(Record):
    """Learn to give the completions."""

    hyperparameters: Hyperparameters = Hyperparameters()


class DpoHyperparameters(Hyperparameters):
    """The same three, and how dear it is to leave the base."""

    beta: Literal["auto"] | Annotated[float, Field(gt=0, le=2)] = Field(
        default="auto", description=f"auto is {DPO_BETA}"
    )


class Dpo(Record):
    """Learn to prefer one completion to another."""

    hyperparameters: DpoHyperparameters = DpoHyperparameters()


class MethodChoice(Record):
    """What is learnt from the data, in OpenAI's words."""

    type: TrainingObjective
    supervised: Supervised | None = None
    dpo: Dpo | None = None

    @model_validator(mode="after")
    def _has_the_values_of_its_type(self) -> "MethodChoice":
        other = "dpo" if self.type == "supervised" else "supervised"
        if getattr(self, other) is not None:
            raise ValueError(f"method.{other} goes with type {other}, got type {self.type}")
        return self

    @property
    def hyperparameters(self) -> Hyperparameters:
        """Return the values of whichever type it is."""
        chosen = self.dpo if self.type == "dpo" else self.supervised
        return Hyperparameters() if chosen is None else chosen.hyperparameters

    @property
    def objective(self) -> Objective:
        """Return what is lowered."""
        beta = None if self.dpo is None else self.dpo.hyperparameters.beta
        return Objective(name=self.type, beta=None if beta == "auto" else beta)


class JobRequest(Record):
    """Fine-tune a model on a file. Without `peft` the recommender chooses the configuration."""

    model: Name
    training_file: Name
    validation_file: Name | None = None
    suffix: Suffix | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    metadata: Annotated[dict[Label, LabelValue], Field(max_length=16)] | None = None
    hyperparameters: Hyperparameters | None = None
    method: MethodChoice | None = None
    integrations: Annotated[list[object], Field(max_length=0)] | None = Field(
        default=None, description="none are here: follow the events instead"
    )
    peft: PeftChoice | None = None

    @model_validator(mode="after")
    def _says_hyperparameters_once(self) -> "JobRequest":
        if self.hyperparameters is not None and self.method is not None:
            raise ValueError("hyperparameters stand in method or at the top (deprecated), got both")
        return self

    @property
    def wished(self) -> Hyperparameters:
        """Return OpenAI's three hyperparameters, wherever they stand."""
        if self.method is not None:
            values = self.method.hyperparameters.model_dump(
                include=set(Hyperparameters.model_fields)
            )
            return Hyperparameters.model_validate(values)
        return self.hyperparameters or Hyperparameters()

    @property
    def objective(self) -> Objective:
        """Return what is lowered: the supervised loss where no method is named."""
        return SUPERVISED if self.method is None else self.method.objective
