"""The pairs of a campaign: every dataset at every size on every base model, where affordable."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from metadata.errors import UnknownModel
from metadata.features.device import this_machine
from metadata.features.model import find_model, profile_model
from metadata.footprint import plan
from metadata.records import Configuration, Device, ModelProfile, Task
from training_worker.campaigns.core import core_configurations
from training_worker.campaigns.sources import Sized, Source, profile, sizes
from training_worker.model import resolve_model

LEAST_EXAMPLES = {"facts": 200}  # of a kind of dataset: twenty facts, that the test asks enough
CORE_SECONDS = 240.0  # that the core of a pair may train by default, by its formula, on one thread


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One dataset at one size on one base model, an id or a folder; `task.model.id` names it."""

    sized: Sized
    base_model: str
    task: Task

    @property
    def subject(self) -> tuple[str, str]:
        """Name the dataset and the base model, whatever the size."""
        return self.sized.source.group, self.task.model.id


def find_pairs(sources: Sequence[Source], base_models: Sequence[str]) -> list[Pair]:
    """Return every dataset at every size on every base model, on this machine's CPU.

    Raises:
        UnknownModel: A base model is no known id, and no folder with a config.json.
    """
    device = this_machine()
    models = {base_model: describe_model(base_model) for base_model in base_models}
    return [
        _pair(sized, base_model, model, device)
        for source in sources
        for sized in sizes(source)
        for base_model, model in models.items()
        if sized.size >= LEAST_EXAMPLES.get(source.kind, 0)
    ]


def split_by_core(
    pairs: Iterable[Pair], *, core_seconds: float = CORE_SECONDS
) -> tuple[list[Pair], list[tuple[Pair, float]]]:
    """Return the pairs whose core trains for at most so many seconds, and the others with theirs.

    Seconds are by our own forecast.
    """
    measured = [
        (pair, seconds_of(core_configurations(pair.task).values(), pair.task)) for pair in pairs
    ]
    kept = [pair for pair, seconds in measured if seconds <= core_seconds]
    left = [(pair, seconds) for pair, seconds in measured if seconds > core_seconds]
    return kept, left


def seconds_of(configurations: Iterable[Configuration], task: Task) -> float:
    """Return how long these train, by our own forecast."""
    return sum(plan(configuration, task).train_seconds for configuration in configurations)


def describe_model(base_model: str) -> ModelProfile:
    """Return the profile of a base model by id or folder.

    Raises:
        UnknownModel: It is no known id, and no folder with a config.json.
    """
    config = Path(resolve_model(base_model)) / "config.json"
    name = Path(base_model).name
    try:
        return find_model(name)
    except UnknownModel:
        if not config.is_file():
            raise
    return profile_model(json.loads(config.read_text(encoding="utf-8")), id=name)


def _pair(sized: Sized, base_model: str, model: ModelProfile, device: Device) -> Pair:
    task = Task(model=model, dataset=profile(sized), device=device)
    return Pair(sized=sized, base_model=base_model, task=task)
