"""What is exported: one rank of a recommendation, its base model and its data."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from metadata.architectures import is_known, targeted
from metadata.examples import TRAIN_SHARE
from metadata.methods import METHODS
from metadata.methods.spec import MethodSpec
from metadata.records import Configuration, ModelProfile, TrainingObjective

Records = Literal["messages", "prompt_completion", "text"]
VALIDATION_SHARE = 0.1  # as the worker holds out to choose a checkpoint by
EVERY = 0.1  # of all steps: how often a tool looks for the best checkpoint


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """The training file as it is named in what is written, and what its records are."""

    name: str
    records: Records
    file_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """One rank of a recommendation."""

    recommendation_id: str
    knowledge_version: str
    created_at: datetime
    rank: int
    model: ModelProfile
    configuration: Configuration
    objective: TrainingObjective = "supervised"
    steps: int
    micro_batch_size: int
    devices: int
    data: DataFile

    @property
    def method(self) -> MethodSpec:
        """Return the entry of the method."""
        return METHODS[self.configuration.method.name]

    @property
    def name(self) -> str:
        """Return a name for the folder of results."""
        return f"{self.recommendation_id}-{self.rank}"

    @property
    def endings(self) -> list[str] | str:
        """Return the ends of the names of the targeted modules, as PEFT takes them.

        Of a family that is not known it is PEFT's own word for every linear map; `has_targets`
        says where there is none.
        """
        if not is_known(self.model):
            return "all-linear"
        target = self.configuration.target_modules
        return [linear.name for linear in targeted(self.model, target)]

    @property
    def has_targets(self) -> bool:
        """Say whether the targeted modules have names outside of the model itself."""
        return is_known(self.model) or self.configuration.target_modules == "all-linear"

    @property
    def keeps_best(self) -> bool:
        """Say whether the best checkpoint is kept, for which examples are held out."""
        return self.configuration.keep == "best"

    @property
    def shared_devices(self) -> int:
        """Return how many devices share a batch: all, or one where they cannot share evenly."""
        return self.devices if self.configuration.batch_size % self.devices == 0 else 1

    def batches(self, devices: int = 1) -> tuple[int, int]:
        """Return the micro-batch of one device and how many of them make its part of a batch.

        The micro-batch is the largest that is forecast to fit and divides that part evenly.
        """
        share = self.configuration.batch_size // devices
        most = max(1, min(self.micro_batch_size, share))
        size = next(size for size in range(most, 0, -1) if share % size == 0)
        return size, share // size

    @property
    def learnt_share(self) -> float:
        """Return the share of the data that a tool trains on; it holds out none for a test."""
        return 1.0 - VALIDATION_SHARE if self.keeps_best else 1.0

    def steps_in(self, learnt_share: float) -> int:
        """Return how many steps training on a share of the data takes."""
        return max(1, round(self.steps * learnt_share / TRAIN_SHARE))

    @property
    def data_steps(self) -> int:
        """Return how many steps a tool takes that holds out what it chooses a checkpoint by."""
        return self.steps_in(self.learnt_share)
