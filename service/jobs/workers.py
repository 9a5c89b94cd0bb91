"""Workers that attach themselves: they ask for work, and start its attempts where they are."""

from typing import Annotated

from fastapi import APIRouter, Body, Response
from fastapi.openapi.models import Example
from pydantic import Field

from metadata.records import Name, Record
from service.dependencies import ServicesDep
from service.openapi import PROBLEMS, example

router = APIRouter(prefix="/v1/workers", tags=["worker"], responses=PROBLEMS)
NO_CONTENT = 204
ASKING = {"box": Example(summary="A machine with a GPU", value={"worker": "gpu-box-1"})}
PREFIX = "worker:"  # before the name, as what started an attempt


class Asking(Record):
    """Who asks for work."""

    worker: Name = Field(description="a name for people, such as that of the machine")


class Offered(Record):
    """An attempt to start: `python -m training_worker attempt` reads the code once."""

    attempt_id: str
    job_id: str
    code: str


@router.post(
    "/offers",
    summary="Ask for a job to work on",
    responses=example(
        {"attempt_id": "attempt-0011", "job_id": "ftjob-0a1b", "code": "one-use-code-of-the-claim"}
    )
    | {NO_CONTENT: {"description": "No job waits."}},
    response_model=Offered,
)
def offer(
    request: Annotated[Asking, Body(openapi_examples=ASKING)], services: ServicesDep
) -> Offered | Response:
    """Return the job that goes next, or 204 where none waits; the code is told this once."""
    services.sightings.saw(request.worker, now=services.now())
    found = services.attempts.offer(started_by=f"{PREFIX}{request.worker}")
    if found is None:
        return Response(status_code=NO_CONTENT)
    return Offered(attempt_id=found.attempt_id, job_id=found.job_id, code=found.code)
