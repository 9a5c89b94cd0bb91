"""What happens as it happens, as server-sent events that go on where they were cut.

Each route stands twice: for programs under /v1, and for the pages, whose readers log in as to a
page.
"""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlalchemy import select

from metadata.database import read_session
from service.dependencies import ServicesDep
from service.jobs.queue import find_job
from service.live.job_list import read_list_position
from service.live.positions import read_position
from service.live.reader import ALL_JOBS, Place
from service.live.streams import Stream
from service.openapi import PROBLEMS, Answers

RETRY_MILLISECONDS = 1_000
NEVER_MILLISECONDS = 86_400_000  # after the last message there is nothing to come back for
_JOB = """\
event: event
data: {"id": "ftjob-0a1b-3", "object": "fine_tuning.job.event", "message": "Started", ...}
id: 3?attempt=1&log=0

event: points
data: {"attempt": 1, "data": [{"name": "loss", "step": 20, "value": 2.31, "split": "train"}]}
id: 3?attempt=1&log=0&train/loss=20

event: end
data: {"status": "succeeded"}
id: 9?attempt=1&log=812&train/loss=400
"""
_JOBS = """\
event: job
data: {"job_id": "ftjob-0a1b", "status": "running", "progress": 0.4, "attempts": 1, "model": "..."}
id: 5d8f21c0-17
"""
Back = Annotated[
    str | None,
    Header(alias="Last-Event-ID", max_length=8_000, description="id of the newest event received"),
]
After = Annotated[
    str | None, Query(max_length=8_000, description="the same, for a first connection")
]
router = APIRouter(tags=["live"], responses=PROBLEMS)
pages = APIRouter(include_in_schema=False)


def _described(example: str) -> Answers:
    return {200: {"content": {"text/event-stream": {"example": example}}}}


def _check_job(job_id: str, services: ServicesDep) -> str:
    with read_session(services.engine) as session:
        return find_job(session, job_id).id


async def _job_stream(
    services: ServicesDep,
    job_id: Annotated[str, Depends(_check_job)],
    last_event_id: Back = None,
    after: After = None,
) -> AsyncIterator[Stream]:
    """Hold one of the streams until the answer has ended, however it does."""
    place = Place(job_id, read_position(last_event_id or after))
    with services.live.stream(place) as stream:
        yield stream


def _check_database(services: ServicesDep) -> None:
    """Let the database say that it is away before an answer has begun."""
    with read_session(services.engine) as session:
        session.execute(select(1))


async def _list_stream(
    services: ServicesDep,
    _: Annotated[None, Depends(_check_database)],
    last_event_id: Back = None,
    after: After = None,
) -> AsyncIterator[Stream]:
    place = Place(ALL_JOBS, read_list_position(last_event_id or after))
    with services.live.stream(place) as stream:
        yield stream


@pages.get("/live/jobs", response_class=EventSourceResponse)
@router.get(
    "/v1/live/jobs",
    summary="Follow the list of jobs",
    response_class=EventSourceResponse,
    responses=_described(_JOBS),
)
async def follow_jobs(
    stream: Annotated[Stream, Depends(_list_stream)],
) -> AsyncIterable[ServerSentEvent]:
    """Send the newest jobs and all that have not ended, then each as it changes.

    `job` is a job as it stands, `gone` one that is not in the list any more. A reader that comes
    back with `Last-Event-ID` is sent what has changed since.
    """
    async for event in _events(stream):
        yield event


@pages.get("/live/jobs/{job_id}", response_class=EventSourceResponse)
@router.get(
    "/v1/live/jobs/{job_id}",
    summary="Follow a job",
    response_class=EventSourceResponse,
    responses=_described(_JOB),
)
async def follow_job(
    stream: Annotated[Stream, Depends(_job_stream)],
) -> AsyncIterable[ServerSentEvent]:
    """Send what happened to a job, then all else as it happens, until the job has ended.

    `event` is an event as `GET /v1/fine_tuning/jobs/{id}/events` lists it, `points` are new points
    of the curve, `log` is what was printed, `progress` how far the job is, `end` the last message.
    An id begins with the number of the newest event. A reader that comes back with
    `Last-Event-ID` misses nothing and is sent nothing twice; a server has at most 100 streams.
    """
    async for event in _events(stream):
        yield event


async def _events(stream: Stream) -> AsyncIterator[ServerSentEvent]:
    yield ServerSentEvent(retry=RETRY_MILLISECONDS)
    async for message in stream.messages():
        retry = NEVER_MILLISECONDS if message.kind == "end" else None
        yield ServerSentEvent(data=message.data, event=message.kind, id=message.id, retry=retry)
