"""Fine-tuning jobs in OpenAI's dialect."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Body, Header, Query

from metadata.errors import InvalidRequest
from service.dependencies import CallerDep, DeskDep, LogsDep, NowDep, QueueDep, ServicesDep
from service.jobs.examples import DELETED, JOB, JOB_EVENTS, JOB_LIST, LOG, ORDERS
from service.jobs.idempotency import HEADER, key_of
from service.jobs.removal import remove_job
from service.jobs.schemas import (
    EventList,
    JobAnswer,
    JobDeleted,
    JobList,
    JobLog,
    JobRequest,
    event_answer,
    job_answer,
)
from service.jobs.submission import check_order
from service.openapi import OPENAI_ERRORS, example

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["jobs"], responses=OPENAI_ERRORS)

After = Annotated[str | None, Query(max_length=200, description="last id of the page before")]
Limit = Annotated[int, Query(description="1 to 100")]
Key = Annotated[
    str | None, Header(alias=HEADER, description="the same order under the same key is one job")
]
LastBytes = Annotated[int, Query(ge=1, le=2**20, description="at most so many, the newest")]


@router.post("", summary="Fine-tune a model on an uploaded file", responses=example(JOB))
def create(
    request: Annotated[JobRequest, Body(openapi_examples=ORDERS)],
    desk: DeskDep,
    services: ServicesDep,
    caller: CallerDep,
    now: NowDep,
    key: Key = None,
) -> JobAnswer:
    """Check the order, queue it, and answer with the job; it starts as soon as there is room.

    Under an `Idempotency-Key`, which is kept for a day, the same order sent again is answered
    with the same job.
    """
    order_key = key_of(caller, key, request.model_dump(mode="json"))
    known = None if order_key is None else services.queue.ordered(order_key)
    if known is not None:
        return job_answer(known, now=now)
    order = replace(check_order(request, desk), owner=caller)
    job = services.queue.submit(order, key=order_key)
    services.dispatcher.wake()
    return job_answer(job, now=now)


@router.get("", summary="List jobs, newest first", responses=example(JOB_LIST))
def list_jobs(queue: QueueDep, now: NowDep, limit: Limit = 20, after: After = None) -> JobList:
    """Return a page of jobs, without their curves."""
    page = queue.page(limit=limit, after=after)
    data = [job_answer(job, now=now) for job in page.jobs]
    return JobList(
        data=data,
        has_more=page.has_more,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
    )


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
    return EventList(
        data=data,
        has_more=page.has_more,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
    )


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


def _number(event_id: str, job_id: str) -> int:
    number = event_id.removeprefix(f"{job_id}-")
    if number == event_id or not number.isascii() or not number.isdigit() or len(number) > 9:
        raise InvalidRequest(
            f"after must be the id of an event of this job, got {event_id[:80]!r}. "
            "Send the last_id of the page before.",
            param="after",
        )
    return int(number)
