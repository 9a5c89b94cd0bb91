"""What an attempt asks of the service. Claiming needs a code, all else the attempt's token."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query, Request, Response
from fastapi.responses import FileResponse

from metadata.errors import NotFound, UnknownDevice
from metadata.messages import Assignment, Claim, Limits, Outcome, Release, Renewed, Report
from metadata.records import Device
from service.catalogue.devices import Devices
from service.dependencies import (
    AttemptsDep,
    FilesDep,
    LogsDep,
    RecorderDep,
    ServicesDep,
    TokenDep,
)
from service.files.store import FileStore
from service.jobs.examples import ASSIGNMENT, CLAIMS, OUTCOMES, RELEASES, REPORTS
from service.jobs.shared_folder import CHECKPOINTS, mark_of
from service.openapi import PROBLEMS, Answers, example


async def _piece(request: Request) -> bytes:
    """Return a body as it is; its size is bounded before."""
    return await request.body()


PieceDep = Annotated[bytes, Depends(_piece)]
router = APIRouter(prefix="/v1/worker", tags=["worker"], responses=PROBLEMS)
NO_CONTENT = 204
_JSONL: Answers = {200: {"content": {"application/jsonl": {"example": '{"prompt": "2+2", ...}\n'}}}}


@router.post("/claim", summary="Claim the attempt of a one-use code", responses=example(ASSIGNMENT))
def claim(
    request: Annotated[Claim, Body(openapi_examples=CLAIMS)], services: ServicesDep
) -> Assignment:
    """Take the attempt that the code stands for; the token is told this once."""
    held = services.attempts.claim(request.code)
    order = held.job.order
    folder = services.models.folder(order.model.id)
    checkpoints = services.settings.data_dir.resolve() / CHECKPOINTS
    return Assignment(
        attempt_id=held.attempt_id,
        token=held.token,
        job_id=held.job.id,
        base_model=order.model.id,
        model_path=None if folder is None else str(folder.resolve()),
        dataset=order.dataset,
        validation_file=order.validation_file is not None,
        configuration=order.configuration,
        objective=order.objective,
        serve_with=order.serve_with,
        limits=Limits(train_seconds=order.most_seconds),
        generation=held.generation,
        checkpoint_folder=str(checkpoints / held.job.id),
        checkpoint_mark=mark_of(checkpoints),
        checkpoint_seconds=services.settings.checkpoint_seconds,
        renew_seconds=services.timing.renew_seconds,
    )


@router.post(
    "/attempts/{attempt_id}/renew",
    summary="Keep the lease of an attempt",
    responses=example({"go_on": True}),
)
def renew(attempt_id: str, token: TokenDep, attempts: AttemptsDep) -> Renewed:
    """Say that the attempt lives; `go_on` is false once its job is paused or cancelled."""
    return attempts.renew(attempt_id, token)


@router.post(
    "/attempts/{attempt_id}/reports",
    summary="Tell what happened since the last report",
    status_code=NO_CONTENT,
)
def report(
    attempt_id: str,
    report: Annotated[Report, Body(openapi_examples=REPORTS)],
    token: TokenDep,
    attempts: AttemptsDep,
) -> Response:
    """Keep points of the curve, notices and checkpoints; a number told before changes nothing."""
    attempts.report(attempt_id, token, report)
    return Response(status_code=NO_CONTENT)


@router.put(
    "/attempts/{attempt_id}/log",
    summary="Send what the attempt printed",
    status_code=NO_CONTENT,
    openapi_extra={
        "requestBody": {"content": {"application/octet-stream": {"example": "loaded\n"}}}
    },
)
def write_log(
    attempt_id: str,
    offset: Annotated[int, Query(ge=0, description="bytes sent before this piece")],
    token: TokenDep,
    piece: PieceDep,
    attempts: AttemptsDep,
    logs: LogsDep,
) -> Response:
    """Keep a piece of the log at its place; sent again it stands there once."""
    attempts.check_holder(attempt_id, token)
    logs.write(attempt_id, piece, offset=offset)
    return Response(status_code=NO_CONTENT)


@router.post(
    "/attempts/{attempt_id}/release",
    summary="Give a job back unfinished",
    status_code=NO_CONTENT,
)
def release(
    attempt_id: str,
    release: Annotated[Release, Body(openapi_examples=RELEASES)],
    token: TokenDep,
    services: ServicesDep,
) -> Response:
    """End the attempt; the job is queued again, or rests where it was paused."""
    services.attempts.release(attempt_id, token, release)
    services.dispatcher.wake()
    return Response(status_code=NO_CONTENT)


@router.post(
    "/attempts/{attempt_id}/finish",
    summary="Report how an attempt ended",
    status_code=NO_CONTENT,
)
def finish(
    attempt_id: str,
    outcome: Annotated[Outcome, Body(openapi_examples=OUTCOMES)],
    token: TokenDep,
    services: ServicesDep,
    recorder: RecorderDep,
) -> Response:
    """End the attempt and its job, and add its run to the history, once."""
    device = _device(outcome, services.devices)
    services.attempts.finish(attempt_id, token, outcome, device)
    recorder.record(attempt_id)
    return Response(status_code=NO_CONTENT)


@router.get(
    "/attempts/{attempt_id}/training-file",
    summary="Read the training file of an attempt",
    response_class=FileResponse,
    responses=_JSONL,
)
def training_file(
    attempt_id: str, token: TokenDep, attempts: AttemptsDep, files: FilesDep
) -> FileResponse:
    """Send the file as it was uploaded."""
    file_id = attempts.file_of(attempt_id, token, validation=False)
    return _send(file_id, files)


@router.get(
    "/attempts/{attempt_id}/validation-file",
    summary="Read the validation file of an attempt",
    response_class=FileResponse,
    responses=_JSONL,
)
def validation_file(
    attempt_id: str, token: TokenDep, attempts: AttemptsDep, files: FilesDep
) -> FileResponse:
    """Send the file as it was uploaded; 404 where the job has none."""
    file_id = attempts.file_of(attempt_id, token, validation=True)
    return _send(file_id, files)


def _send(file_id: str | None, files: FileStore) -> FileResponse:
    if file_id is None:
        raise NotFound("This job has no validation file; split the training file instead.")
    return FileResponse(
        files.path(file_id), media_type="application/jsonl", filename=f"{file_id}.jsonl"
    )


def _device(outcome: Outcome, devices: Devices) -> Device:
    """Return the devices that a worker names, this machine's processor where it names none."""
    name = outcome.device_name
    try:
        return devices.find(name, count=outcome.device_count) if name else devices.here()
    except UnknownDevice:
        return devices.here()
