"""From a request to a checked question: a task, its limits and what is wanted."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from metadata.errors import InvalidDataset, InvalidRequest, NotFound
from metadata.examples import of_one_form, parse_example
from metadata.features.dataset import profile_dataset
from metadata.features.device import find_device
from metadata.features.model import profile_model
from metadata.methods import METHODS
from metadata.methods.spec import Serving
from metadata.objectives import check_form, objective_of, task_in_rows, trains
from metadata.records import (
    Configuration,
    DatasetProfile,
    Device,
    ModelProfile,
    Task,
    TrainingObjective,
    content_hash,
)
from metadata.records import Objective as LearntObjective
from service.catalogue.devices import FindDevice
from service.catalogue.models import Models, is_model_id
from service.recommender.schemas import (
    BaseModelChoice,
    Budget,
    DatasetChoice,
    Hardware,
    Objective,
    RecommendationRequest,
)

FindModel = Callable[[str], ModelProfile]
FindProfile = Callable[[str], DatasetProfile]

find_public_model: FindModel = partial(Models({}).find, param="base_model.id")

GIB = 2**30


def usual(name: str) -> float:
    """Return what a number of a request is where it is not given."""
    return float(RecommendationRequest.model_fields[name].default)


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked, checked: the task, what one run may use, and which answer is wanted."""

    task: Task
    budget: Budget = field(default_factory=Budget)
    objective: Objective = "quality"
    training_objective: TrainingObjective = "supervised"
    methods: tuple[str, ...] | None = None
    serve_with: Serving | None = None
    count: int = 5
    cheapest_within: float = usual("cheapest_within")
    forgetting_weight: float = usual("forgetting_weight")

    @property
    def learnt(self) -> LearntObjective:
        """Return what is lowered, with its usual values."""
        return LearntObjective(name=self.training_objective)

    @property
    def task_in_rows(self) -> Task:
        """Return the task as it costs, its examples counted in rows of the model."""
        return task_in_rows(self.task, self.training_objective)

    @property
    def memory_bytes(self) -> int:
        """Return the bytes that one device offers a run: its own, or the budget's where less."""
        device = self.task.device.memory_bytes
        budget = self.budget.memory_gib
        return device if budget is None else min(device, int(budget * GIB))

    @property
    def usd_per_second(self) -> float | None:
        """Return the price of all devices together, or None where it is not known."""
        price = self.task.device.usd_per_hour
        return None if price is None else price * self.task.device.count / 3600

    @property
    def train_seconds(self) -> float | None:
        """Return the seconds that time and money leave for one run, None without a limit."""
        limits = []
        if self.budget.train_minutes is not None:
            limits.append(60 * self.budget.train_minutes)
        if self.budget.usd is not None and self.usd_per_second:
            limits.append(self.budget.usd / self.usd_per_second)
        return min(limits, default=None)

    def allows(self, configuration: Configuration) -> bool:
        """Say whether a configuration is of a method asked for, and can be served as asked."""
        return (
            self.asks_for(configuration)
            and self.serves(configuration.method.name)
            and trains(configuration, self.learnt)
        )

    def asks_for(self, configuration: Configuration) -> bool:
        """Say whether a configuration is of the methods that are asked for."""
        return self.methods is None or configuration.method.name in self.methods

    def serves(self, method: str) -> bool:
        """Say whether what a method leaves can be loaded by what is to serve it."""
        return self.serve_with is None or self.serve_with in METHODS[method].served_by

    def content(self, knowledge_version: str) -> str:
        """Name the question and the knowledge that answers it by their content, as hex."""
        return content_hash(
            {
                "task": self.task.model_dump(mode="json"),
                "budget": self.budget.model_dump(mode="json"),
                "objective": self.objective,
                "methods": self.methods,
                # left out where it is not asked for: such questions keep the ids they had
                **({} if self.serve_with is None else {"serve_with": self.serve_with}),
                **({"training_objective": "dpo"} if self.training_objective == "dpo" else {}),
                **self._unusual(),
                "count": self.count,
                "knowledge_version": knowledge_version,
            }
        )

    def _unusual(self) -> dict[str, float]:
        """Return weights that are not the usual ones, and the margin of the cheapest."""
        margin = {"cheapest_within": self.cheapest_within}
        weight = {"forgetting_weight": self.forgetting_weight}
        return {
            **(margin if self.objective == "cheapest" else {}),
            **(weight if self.forgetting_weight != usual("forgetting_weight") else {}),
        }

    def rng(self, knowledge_version: str) -> np.random.Generator:
        """Return random numbers that are the same for the same question and knowledge."""
        return np.random.default_rng(int(self.content(knowledge_version)[:16], 16))


def no_files(file_id: str) -> DatasetProfile:
    """Refuse a file: there is no store of files here."""
    raise NotFound(
        f"dataset.file_id is {file_id!r}, but no files are stored here. "
        "Give dataset.examples or dataset.profile.",
        param="dataset.file_id",
    )


def build_question(
    request: RecommendationRequest,
    *,
    find_profile: FindProfile = no_files,
    known_model: FindModel = find_public_model,
    known_device: FindDevice = find_device,
) -> Question:
    """Return the question a request asks.

    Args:
        request: As it came over the wire.
        find_profile: Profile of an uploaded file by its id; raises NotFound.
        known_model: Profile of a model by its id; raises UnknownModel.
        known_device: Device by its name, count and memory; raises UnknownDevice.

    Raises:
        InvalidRequest: A field cannot be answered; `param` names it. Also its kinds
            UnknownModel, UnknownDevice, InvalidDataset.
        NotFound: There is no file by that id.
    """
    task = Task(
        model=read_model(request.base_model, known_model=known_model),
        dataset=read_dataset(request.dataset, find_profile=find_profile),
        device=read_device(request.hardware, known_device=known_device),
    )
    check_price(request.budget, task.device)
    learnt = request.training_objective or objective_of(task.dataset.kind)
    check_form(task.dataset.kind, learnt, param="training_objective")
    return Question(
        task=task,
        budget=request.budget,
        objective=request.objective,
        training_objective=learnt,
        methods=_check_methods(request.methods),
        serve_with=request.serve_with,
        count=request.count,
        cheapest_within=request.cheapest_within,
        forgetting_weight=request.forgetting_weight,
    )


def read_model(
    choice: BaseModelChoice, *, known_model: FindModel = find_public_model
) -> ModelProfile:
    """Return the profile of the base model: from its config where given, else by its id."""
    if choice.config is None:
        return known_model(choice.id)
    if not is_model_id(choice.id):
        raise InvalidRequest(
            f"base_model.id must be a name, never a path or an address; got {_short(choice.id)}. "
            "Beside base_model.config any name will do, such as my-model.",
            param="base_model.id",
        )
    return profile_model(choice.config, id=choice.id)


def read_dataset(choice: DatasetChoice, *, find_profile: FindProfile = no_files) -> DatasetProfile:
    """Return the profile of the data, whichever of the three ways it was given."""
    if choice.profile is not None:
        return choice.profile
    if choice.file_id is not None:
        return find_profile(choice.file_id)
    return _profile_examples(choice.examples or [])


def read_device(hardware: Hardware, *, known_device: FindDevice = find_device) -> Device:
    """Return the device by its name, with the count, memory and price that were given."""
    device = known_device(hardware.device, count=hardware.count, memory_gib=hardware.memory_gib)
    if hardware.usd_per_hour is None:
        return device
    return device.model_copy(update={"usd_per_hour": hardware.usd_per_hour})


def check_price(budget: Budget, device: Device) -> None:
    """Let a budget pass if what is to be spent of it can be told.

    Raises:
        InvalidRequest: It is of money, and what the device costs is not known.
    """
    if budget.usd is None or device.usd_per_hour is not None:
        return
    raise InvalidRequest(
        f"budget.usd needs a price, and none is known for {device.name}. "
        "Give hardware.usd_per_hour, or budget.train_minutes instead.",
        param="budget.usd",
    )


def _profile_examples(records: list[dict[str, Any]]) -> DatasetProfile:
    if not records:
        raise InvalidDataset(
            "dataset.examples needs at least one example, got an empty list. "
            'An example is {"prompt": ..., "completion": ...}, {"messages": [...]} '
            'or {"text": ...}.',
            param="dataset.examples",
        )
    numbered = ((n, parse_example(record, line=n)) for n, record in enumerate(records, start=1))
    return profile_dataset(list(of_one_form(numbered)), name="examples")


def _check_methods(names: list[str] | None) -> tuple[str, ...] | None:
    if names is None:
        return None
    unknown = sorted(set(names) - set(METHODS))
    if unknown:
        raise InvalidRequest(
            f"methods holds names that are not in the table: {_short(', '.join(unknown))}. "
            f"Choose among {', '.join(METHODS)}.",
            param="methods",
        )
    return tuple(name for name in METHODS if name in set(names))


def _short(text: str, *, length: int = 100) -> str:
    return repr(text if len(text) <= length else text[:length] + "...")
