"""The tables as data: what can be chosen, on what, where."""

from difflib import get_close_matches
from typing import Any

from fastapi import APIRouter

from metadata.errors import NotFound
from metadata.features.device import known_devices
from metadata.knowledge import Knowledge
from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS, SCHEDULES
from metadata.records import Record
from service.catalogue.answers import (
    PastRunsOf,
    method_answer,
    model_answer,
    optimizer_answer,
    past_runs,
    past_runs_answer,
    schedule_answer,
    tuned_answer,
)
from service.catalogue.schemas import (
    DeviceList,
    MethodAnswer,
    MethodList,
    ModelAnswer,
    ModelList,
    OptimizerList,
    ScheduleList,
)
from service.dependencies import KnowledgeStoreDep, ModelsDep, QueueDep
from service.jobs.schemas import tuned_name
from service.openapi import OPENAI_ERRORS, PROBLEMS, Answers, example

router = APIRouter(prefix="/v1", tags=["catalogue"])

_NEAR = 3  # names that are proposed for one that is not known
_PAST = past_runs_answer(97, tasks=24)
_METHOD = method_answer(METHODS["lora"], _PAST)
_OPTIMIZER = optimizer_answer(OPTIMIZERS["adamw"], _PAST)
_SCHEDULE = schedule_answer(SCHEDULES["cosine"], _PAST)
_MODEL: dict[str, Any] = {
    "id": "peftwise-tiny",
    "object": "model",
    "created": 0,
    "owned_by": "peftwise",
}


def _list(entry: Record | dict[str, Any], last_id: str) -> Answers:
    shown = entry.model_dump(mode="json") if isinstance(entry, Record) else entry
    return example({"object": "list", "data": [shown], "has_more": False, "last_id": last_id})


@router.get(
    "/methods",
    summary="List the PEFT methods",
    responses={**PROBLEMS, **_list(_METHOD, "lora")},
)
def list_methods(store: KnowledgeStoreDep) -> MethodList:
    """Return every method: its values, what must hold, what can load its result, what tried it."""
    tell = _methods_tried(store.current)
    data = [method_answer(spec, tell(spec.name)) for spec in METHODS.values()]
    return MethodList(data=data, last_id=data[-1].name)


@router.get(
    "/methods/{name}",
    summary="Describe a PEFT method",
    responses={**PROBLEMS, **example(_METHOD.model_dump(mode="json"))},
)
def read_method(name: str, store: KnowledgeStoreDep) -> MethodAnswer:
    """Return all that is known of a method; an unknown name is told the near ones."""
    if name not in METHODS:
        near = get_close_matches(name, METHODS, n=_NEAR)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise NotFound(
            f"No method has the name {name[:80]!r}.{hint} List them with GET /v1/methods.",
            param="name",
        )
    return method_answer(METHODS[name], _methods_tried(store.current)(name))


@router.get(
    "/optimizers",
    summary="List the optimizers",
    responses={**PROBLEMS, **_list(_OPTIMIZER, "adamw")},
)
def list_optimizers(store: KnowledgeStoreDep) -> OptimizerList:
    """Return every optimizer: its values, what it goes with, what tried it."""
    tell = past_runs(store.current, lambda configuration: configuration.optimizer.name)
    data = [optimizer_answer(spec, tell(spec.name)) for spec in OPTIMIZERS.values()]
    return OptimizerList(data=data, last_id=data[-1].name)


@router.get(
    "/schedules",
    summary="List the learning rate schedules",
    responses={**PROBLEMS, **_list(_SCHEDULE, "cosine")},
)
def list_schedules(store: KnowledgeStoreDep) -> ScheduleList:
    """Return every schedule: its values and what tried it."""
    tell = past_runs(store.current, lambda configuration: configuration.schedule.name)
    data = [schedule_answer(spec, tell(spec.name)) for spec in SCHEDULES.values()]
    return ScheduleList(data=data, last_id=data[-1].name)


def _methods_tried(known: Knowledge) -> PastRunsOf:
    return past_runs(known, lambda configuration: configuration.method.name)


@router.get(
    "/devices",
    summary="List the devices",
    responses={**PROBLEMS, **_list({"name": "NVIDIA L40S", "kind": "cuda"}, "NVIDIA L40S")},
)
def list_devices() -> DeviceList:
    """Return every device of the table, with figures from its data sheet."""
    data = list(known_devices())
    return DeviceList(data=data, last_id=data[-1].name if data else None)


@router.get(
    "/models",
    summary="List the base models",
    responses={**OPENAI_ERRORS, **_list(_MODEL, "peftwise-tiny")},
)
def list_models(models: ModelsDep, queue: QueueDep) -> ModelList:
    """Return what was made here, then every base model that is known, the server's own first."""
    data = [tuned_answer(job) for job in queue.succeeded()]
    data += [model_answer(model) for model in models]
    return ModelList(data=data, last_id=data[-1].id if data else None)


@router.get(
    "/models/{model_id:path}",
    summary="Describe a base model",
    responses={**OPENAI_ERRORS, **example(_MODEL)},
)
def read_model(model_id: str, models: ModelsDep, queue: QueueDep) -> ModelAnswer:
    """Return what is known of a base model, or of one that was made here."""
    for job in queue.succeeded() if model_id.startswith("ft:") else ():
        if tuned_name(job) == model_id:
            return tuned_answer(job)
    return model_answer(models.get(model_id))
