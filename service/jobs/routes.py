"""Fine-tuning jobs in OpenAI's dialect."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, TypedDict

from fastapi import APIRouter, Body, Header, Query, Request

from metadata.errors import InvalidRequest
from service.dependencies import CallerDep, DeskDep, LogsDep, NowDep, QueueDep, ServicesDep
from service.jobs.examples import (
    CHECKPOINT_LIST,
    DELETED,
    JOB,
    JOB_EVENTS,
    JOB_LIST,
    LOG,
    ORDERS,
)
from service.jobs.idempotency import HEADER, RETRIES_HEADER, key_of
from service.jobs.queue import check_limit
from service.jobs.removal import remove_job
from service.jobs.requests import JobRequest
from service.jobs.schemas import (
    CheckpointList,
    EventList,
    JobAnswer,
    JobDeleted,
    JobList,
    JobLog,
    checkpoint_answer,
    event_answer,
    job_answer,
)
from service.jobs.shared_folder import CHECKPOINTS
from service.jobs.states import JobState
from service.jobs.submission import check_order
from service.openapi import OPENAI_ERRORS, example

_LABEL = re.compile(r"metadata\[.{1,64}\]")
router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["jobs"], responses=OPENAI_ERRORS)

After = Annotated[str | None, Query(max_length=200, description="last id of the page before")]
Limit = Annotated[int, Query(description="1 to 100")]
Key = Annotated[
    str | None, Header(alias=HEADER, description="the same order under the same key is one job")
]
Retries = Annotated[str | None, Header(alias=RETRIES_HEADER, include_in_schema=False)]
LastBytes = Annotated[int, Query(ge=1, le=2**20, description="at most so many, the newest")]


@router.post("", summary="Fine-tune a model on an uploaded file", responses=example(JOB))
def create(
    request: Annotated[JobRequest, Body(openapi_examples=ORDERS)],
    desk: DeskDep,
    services: ServicesDep,
    caller: CallerDep,
    now: NowDep,
    key: Key = None,
    retries: Retries = None,
) -> JobAnswer:
    """Check the order, queue it, and answer with the job; it starts as soon as there is room.

    Under an `Idempotency-Key`, which is kept for a day, the same order sent again is answered
    with the same job; so is, for ten minutes, one that OpenAI's client says to send again.
    """
    order_key = key_of(caller, key, request.model_dump(mode="json"), retries=retries)
    known = None if order_key is None else services.queue.ordered(order_key)
    if known is not None:
        return job_answer(known, now=now)
    order = replace(check_order(request, desk), owner=caller)
    job = services.queue.submit(order, key=order_key)
    services.dispatcher.wake()
    return job_answer(job, now=now)


@router.get("", summary="List jobs, newest first", responses=example(JOB_LIST))
def list_jobs(
    request: Request,
    queue: QueueDep,
    now: NowDep,
    limit: Limit = 20,
    after: After = None,
    status: JobState | None = None,
) -> JobList:
    """Return a page of jobs, without their curves, those of one status where it is named.

    `metadata[KEY]=VALUE`, as often as needed, keeps those with these labels; `metadata=null` those
    without any.
    """
    labels = labels_of(request.query_params.multi_items())
    page = queue.page(limit=limit, after=after, labels=labels, state=status)
    data = [job_answer(job, now=now) for job in page.jobs]
    return JobList(data=data, has_more=page.has_more, **ends_of(data))


@router.get("/{job_id}", summary="Read a job", responses=example(JOB))
def read(job_id: str, queue: QueueDep, now: NowDep) -> JobAnswer:
    """Return a job as it stands, with the curve of its newest attempt."""
    return job_answer(queue.get(job_id), now=now)


@router.get(
    "/{job_id}/events", summary="List what happened to a job", responses=example(JOB_EVENTS)
)
def list_events(job_id: str, queue: QueueDep, limit: Limit = 20, after: After = None) -> EventList:
    """Return a page of events, newest first; `after` takes the id of an event."""
    before = None if after is None else _number(after, job_id)
    page = queue.events(job_id, limit=limit, before=before)
    data = [event_answer(event) for event in page.events]
    return EventList(data=data, has_more=page.has_more, **ends_of(data))


@router.get(
    "/{job_id}/checkpoints",
    summary="List the checkpoints of a job, newest first",
    responses=example(CHECKPOINT_LIST),
)
def list_checkpoints(
    job_id: str, services: ServicesDep, limit: Limit = 10, after: After = None
) -> CheckpointList:
    """Return what the job would go on from: those that still lie in the service's folder."""
    check_limit(limit)
    job = services.queue.get(job_id)
    folder = services.settings.data_dir / CHECKPOINTS / job.id
    kept = [one for one in services.queue.checkpoints(job.id) if (folder / one.name).is_dir()]
    data = [checkpoint_answer(checkpoint, job) for checkpoint in kept]
    if after is not None:
        ids = [one.id for one in data]
        data = data[ids.index(after) + 1 :] if after in ids else []
    page = data[:limit]
    return CheckpointList(data=page, has_more=len(data) > limit, **ends_of(page))


@router.post("/{job_id}/cancel", summary="Cancel a job for good", responses=example(JOB))
def cancel(job_id: str, services: ServicesDep, now: NowDep) -> JobAnswer:
    """End a job; what trains for it is stopped within seconds and its reports are refused."""
    job = services.queue.cancel(job_id)
    services.dispatcher.wake()
    return job_answer(job, now=now)


@router.post("/{job_id}/pause", summary="Let a job rest", responses=example(JOB))
def pause(job_id: str, queue: QueueDep, now: NowDep) -> JobAnswer:
    """Keep a job from training; what trains writes a checkpoint and stops."""
    return job_answer(queue.pause(job_id), now=now)


@router.post("/{job_id}/resume", summary="Let a paused job go on", responses=example(JOB))
def resume(job_id: str, services: ServicesDep, now: NowDep) -> JobAnswer:
    """Queue a paused job again; it goes on from its newest checkpoint."""
    job = services.queue.resume(job_id)
    services.dispatcher.wake()
    return job_answer(job, now=now)


@router.delete("/{job_id}", summary="Delete a job that has ended", responses=example(DELETED))
def delete(job_id: str, services: ServicesDep) -> JobDeleted:
    """Forget a job with its log, checkpoints and adapter; its run stays in the history."""
    remove_job(job_id, services.queue, data_dir=services.settings.data_dir)
    return JobDeleted(id=job_id)


@router.get("/{job_id}/logs", summary="Read what a job printed", responses=example(LOG))
def read_log(job_id: str, queue: QueueDep, logs: LogsDep, last_bytes: LastBytes = 65_536) -> JobLog:
    """Return the newest text that the job's attempts have printed."""
    text, is_cut = logs.read(queue.attempts_of(job_id), last_bytes=last_bytes)
    return JobLog(job_id=job_id, text=text, is_cut=is_cut)


def labels_of(query: Sequence[tuple[str, str]]) -> dict[str, str] | None:
    """Return the labels that a query asks for, none where it asks for jobs without any."""
    if ("metadata", "null") in query:
        return {}
    found = {name[9:-1]: value for name, value in query if _LABEL.fullmatch(name)}
    return found or None


class Ends(TypedDict):
    """The first and the last id of a page, None where it is empty."""

    first_id: str | None
    last_id: str | None


def ends_of(data: Sequence[Any]) -> Ends:
    """Return the first and the last id of a page."""
    return {
        "first_id": data[0].id if data else None,
        "last_id": data[-1].id if data else None,
    }


def _number(event_id: str, job_id: str) -> int:
    number = event_id.removeprefix(f"{job_id}-")
    if number == event_id or not number.isascii() or not number.isdigit() or len(number) > 9:
        raise InvalidRequest(
            f"after must be the id of an event of this job, got {event_id[:80]!r}. "
            "Send the last_id of the page before.",
            param="after",
        )
    return int(number)
