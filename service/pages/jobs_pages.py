"""The pages of jobs: the list, one job, and what its buttons do."""

from typing import Annotated, Literal

from fastapi import Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from metadata.errors import InvalidRequest, NotFound
from metadata.objectives import objective_of
from metadata.records import Run
from service.dependencies import QueueDep, ServicesDep
from service.jobs.records import Job
from service.jobs.requests import JobRequest, MethodChoice, PeftChoice
from service.jobs.states import JobState
from service.jobs.submission import check_order
from service.pages import urls
from service.pages.incoming import plain_fields
from service.pages.job_view import JobSeen, view_job, view_jobs
from service.pages.page_route import page_router
from service.pages.rendering import respond
from service.recommender.schemas import RecommendedConfiguration
from service.services import Services
from service.validation import describe_errors
from service.workers.tries import tries_of_job

JOBS_A_PAGE = 20
EVENTS_SHOWN = 50
LOG_BYTES_SHOWN = 16_384
Cursor = Annotated[str | None, Query(max_length=200)]
State = Annotated[JobState | Literal[""], Query()]
router = page_router()


@router.get("/jobs")
def list_jobs(queue: QueueDep, after: Cursor = None, state: State = "") -> HTMLResponse:
    """Show a page of jobs, newest first, all or those in one state."""
    page = queue.page(limit=JOBS_A_PAGE, after=after, state=state or None)
    return respond(view_jobs(page, state=state, is_first=after is None))


@router.post("/jobs")
async def submit(request: Request, services: ServicesDep) -> RedirectResponse:
    """Queue what a button on an answer names, and go to its page."""
    return await run_in_threadpool(_submit, services, await plain_fields(request))


@router.get("/jobs/{job_id}")
def show_job(job_id: str, services: ServicesDep) -> HTMLResponse:
    """Show one job as it stands."""
    return respond(view_job(_look(services, job_id)))


@router.post("/jobs/{job_id}/{move}")
def move_job(
    job_id: str, move: Literal["pause", "resume", "cancel"], services: ServicesDep
) -> RedirectResponse:
    """Pause, resume or end a job and show it."""
    queue = services.queue
    {"pause": queue.pause, "resume": queue.resume, "cancel": queue.cancel}[move](job_id)
    services.dispatcher.wake()
    return RedirectResponse(urls.job(job_id), status_code=303)


def _look(services: Services, job_id: str) -> JobSeen:
    job = services.queue.get(job_id)
    tries = tries_of_job(services.engine, job.id, timing=services.timing)
    ids = [one.attempt_id for one in reversed(tries)]
    return JobSeen(
        job=job,
        events=services.queue.events(job.id, limit=EVENTS_SHOWN),
        tries=tries,
        run=_run(services, job.run_id),
        recommended=_recommended(services, job),
        log_bytes=services.logs.size(ids[-1]) if ids else 0,
        log=services.logs.read(ids, last_bytes=LOG_BYTES_SHOWN),
        now=services.now(),
    )


def _run(services: Services, run_id: str | None) -> Run | None:
    if run_id is None:
        return None
    try:
        return services.history.get(run_id)
    except NotFound:
        return None


def _recommended(services: Services, job: Job) -> RecommendedConfiguration | None:
    order = job.order
    if order.recommendation_id is None:
        return None
    try:
        return services.recommendations.ranked(order.recommendation_id, rank=order.rank or 1)
    except NotFound:  # it was made by another version, or forgotten
        return None


def _submit(services: Services, fields: dict[str, str]) -> RedirectResponse:
    try:
        order = JobRequest(
            model=fields.get("model", ""),
            training_file=fields.get("file_id", ""),
            method=_method(services, fields.get("file_id", "")),
            peft=PeftChoice.model_validate(
                {"recommendation_id": fields.get("recommendation_id"), "rank": fields.get("rank")}
            ),
        )
    except ValidationError as error:
        raise InvalidRequest(
            f"{describe_errors(error.errors())[0]} Ask again on the first page."
        ) from None
    job = services.queue.submit(check_order(order, services.desk))
    services.dispatcher.wake()
    return RedirectResponse(urls.job(job.id), status_code=303)


def _method(services: Services, file_id: str) -> MethodChoice:
    data = services.files.profile(file_id, param="training_file")
    return MethodChoice(type=objective_of(data.kind))
