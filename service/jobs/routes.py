"""Fine-tuning jobs in OpenAI's dialect."""

from typing import Annotated

from fastapi import APIRouter, Body, Query

from metadata.errors import InvalidRequest
from service.dependencies import DeskDep, NowDep, QueueDep, ServicesDep
from service.jobs.examples import JOB, JOB_EVENTS, JOB_LIST, ORDERS
from service.jobs.schemas import (
    EventList,
    JobAnswer,
    JobList,
    JobRequest,
    event_answer,
    job_answer,
)
from service.jobs.submission import check_order
from service.openapi import OPENAI_ERRORS, example

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["jobs"], responses=OPENAI_ERRORS)

After = Annotated[str | None, Query(max_length=200, description="last id of the page before")]
Limit = Annotated[int, Query(description="1 to 100")]


@router.post("", summary="Fine-tune a model on an uploaded file", responses=example(JOB))
def create(
    request: Annotated[JobRequest, Body(openapi_examples=ORDERS)],
    desk: DeskDep,
    services: ServicesDep,
    now: NowDep,
) -> JobAnswer:
    """Check the order, queue it, and answer with the job; it starts as soon as there is room."""
    job = services.queue.submit(check_order(request, desk))
    if services.dispatcher is not None:
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
    if services.dispatcher is not None:
        services.dispatcher.wake()
    return job_answer(job, now=now)


def _number(event_id: str, job_id: str) -> int:
    number = event_id.removeprefix(f"{job_id}-")
    if number == event_id or not number.isascii() or not number.isdigit() or len(number) > 9:
        raise InvalidRequest(
            f"after must be the id of an event of this job, got {event_id[:80]!r}. "
            "Send the last_id of the page before.",
            param="after",
        )
    return int(number)
