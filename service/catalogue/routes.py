"""The tables as data: what can be chosen, on what, where."""

from typing import Any

from fastapi import APIRouter

from metadata.features.device import known_devices
from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS, SCHEDULES
from service.catalogue.schemas import (
    DeviceList,
    MethodList,
    ModelAnswer,
    ModelList,
    OptimizerList,
    ScheduleList,
    method_answer,
    model_answer,
    optimizer_answer,
    schedule_answer,
)
from service.dependencies import ModelsDep
from service.openapi import OPENAI_ERRORS, PROBLEMS, example

router = APIRouter(prefix="/v1", tags=["catalogue"])

_PARAMETER = {
    "name": "r",
    "kind": "integer",
    "default": 16,
    "lower": 1,
    "upper": 256,
    "log": True,
    "choices": None,
}
_MODEL: dict[str, Any] = {
    "id": "peftwise-tiny",
    "object": "model",
    "created": 0,
    "owned_by": "peftwise",
}


def _list(entry: dict[str, Any], last_id: str) -> dict[int | str, dict[str, Any]]:
    return example({"object": "list", "data": [entry], "has_more": False, "last_id": last_id})


@router.get(
    "/methods",
    summary="List the PEFT methods",
    responses={
        **PROBLEMS,
        **_list({"name": "lora", "title": "LoRA", "parameters": [_PARAMETER]}, "lora"),
    },
)
def list_methods() -> MethodList:
    """Return every method with the values it leaves open."""
    data = [method_answer(spec) for spec in METHODS.values()]
    return MethodList(data=data, last_id=data[-1].name)


@router.get(
    "/optimizers",
    summary="List the optimizers",
    responses={**PROBLEMS, **_list({"name": "adamw", "title": "AdamW"}, "adamw")},
)
def list_optimizers() -> OptimizerList:
    """Return every optimizer with the values it leaves open."""
    data = [optimizer_answer(spec) for spec in OPTIMIZERS.values()]
    return OptimizerList(data=data, last_id=data[-1].name)


@router.get(
    "/schedules",
    summary="List the learning rate schedules",
    responses={**PROBLEMS, **_list({"name": "cosine", "title": "cosine"}, "cosine")},
)
def list_schedules() -> ScheduleList:
    """Return every schedule with the values it leaves open."""
    data = [schedule_answer(spec) for spec in SCHEDULES.values()]
    return ScheduleList(data=data, last_id=data[-1].name)


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
def list_models(models: ModelsDep) -> ModelList:
    """Return every base model that is known here, the server's own first."""
    data = [model_answer(model) for model in models]
    return ModelList(data=data, last_id=data[-1].id if data else None)


@router.get(
    "/models/{model_id:path}",
    summary="Describe a base model",
    responses={**OPENAI_ERRORS, **example(_MODEL)},
)
def read_model(model_id: str, models: ModelsDep) -> ModelAnswer:
    """Return what is known of a base model."""
    return model_answer(models.get(model_id))
