"""Who works, over HTTP."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field

from metadata.records import Record
from service.dependencies import ServicesDep
from service.openapi import PROBLEMS, example
from service.workers.attached import Worker, workforce
from service.workers.tries import Try

router = APIRouter(prefix="/v1/workers", tags=["worker"], responses=PROBLEMS)

_RUNNING = {
    "attempt_id": "attempt-0a1b2c3d",
    "job_id": "ftjob-0a1b2c3d",
    "base_model": "peftwise-tiny",
    "progress": 0.4,
    "generation": 1,
    "claimed": True,
    "created_at": "2026-01-01T00:00:10Z",
    "renewed_at": "2026-01-01T00:00:40Z",
    "lease_ends_at": "2026-01-01T00:01:40Z",
}
_WORKERS: dict[str, Any] = {
    "object": "list",
    "data": [
        {
            "name": "gpu-box-1",
            "object": "worker",
            "is_attached": True,
            "running": [_RUNNING],
            "started": 12,
            "ends": {"succeeded": 11},
            "last_seen_at": "2026-01-01T00:00:40Z",
            "device": "NVIDIA L40S",
        }
    ],
    "executor": {
        "name": "local",
        "free": 1,
        "parallel_runs": 1,
        "devices_per_run": 1,
        "missing": None,
    },
    "has_more": False,
}


class Running(Record):
    """An attempt that has not ended; `renewed_at` is null until it is claimed."""

    attempt_id: str
    job_id: str
    base_model: str
    progress: float
    generation: int
    claimed: bool
    created_at: datetime
    renewed_at: datetime | None
    lease_ends_at: datetime


class WorkerAnswer(Record):
    """Whoever starts attempts; counts are of the last 24 hours."""

    name: str
    object: Literal["worker"] = "worker"
    is_attached: Annotated[bool, Field(description="it asks for work; else a server starts it")]
    running: list[Running]
    started: int
    ends: Annotated[dict[str, int], Field(description="by outcome; lost: none was told")]
    last_seen_at: datetime | None
    device: Annotated[str | None, Field(description="of its newest attempt that has ended")]


class ExecutorAnswer(Record):
    """What starts attempts on this server."""

    name: str
    free: Annotated[int, Field(description="attempts that could start now")]
    parallel_runs: int
    devices_per_run: int
    missing: Annotated[str | None, Field(description="why none can start, and what to do")]


class WorkerList(Record):
    """Everyone who works for this database."""

    object: Literal["list"] = "list"
    data: list[WorkerAnswer]
    executor: ExecutorAnswer
    has_more: bool = False


@router.get("", summary="List who works, and on what", responses=example(_WORKERS))
def list_workers(services: ServicesDep) -> WorkerList:
    """Return who runs attempts now or did since yesterday, and who asks this server for work."""
    found = workforce(services)
    return WorkerList(
        data=[_answer(worker) for worker in found.workers],
        executor=ExecutorAnswer(**vars(found.executor)),
    )


def _answer(worker: Worker) -> WorkerAnswer:
    return WorkerAnswer(
        name=worker.name,
        is_attached=worker.is_attached,
        running=[_running(one) for one in worker.running],
        started=worker.started,
        ends=dict(worker.ends),
        last_seen_at=worker.heard_at,
        device=None if worker.device is None else worker.device.name,
    )


def _running(one: Try) -> Running:
    return Running(
        attempt_id=one.attempt_id,
        job_id=one.job_id,
        base_model=one.base_model,
        progress=one.progress,
        generation=one.generation,
        claimed=one.is_claimed,
        created_at=one.created_at,
        renewed_at=one.heard_at,
        lease_ends_at=one.lease_ends_at,
    )
