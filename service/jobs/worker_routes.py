"""What an attempt asks of the service. Claiming needs a code, all else the attempt's token."""

from typing import Annotated

from fastapi import APIRouter, Body, Response
from fastapi.responses import FileResponse

from metadata.errors import NotFound, UnknownDevice
from metadata.messages import Assignment, Claim, MeasurementBatch, Outcome, Renewed
from metadata.records import Device
from service.catalogue.devices import Devices
from service.dependencies import (
    AttemptsDep,
    FilesDep,
    RecorderDep,
    ServicesDep,
    TokenDep,
)
from service.files.store import FileStore
from service.jobs.examples import ASSIGNMENT, BATCHES, CLAIMS, OUTCOMES
from service.openapi import PROBLEMS, Answers, example

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
    return Assignment(
        attempt_id=held.attempt_id,
        token=held.token,
        job_id=held.job.id,
        base_model=order.model.id,
        model_path=None if folder is None else str(folder.resolve()),
        dataset=order.dataset,
        validation_file=order.validation_file is not None,
        configuration=order.configuration,
        serve_with=order.serve_with,
        renew_seconds=services.settings.renew_seconds,
    )


@router.post(
    "/attempts/{attempt_id}/renew",
    summary="Keep the lease of an attempt",
    responses=example({"go_on": True}),
)
def renew(attempt_id: str, token: TokenDep, attempts: AttemptsDep) -> Renewed:
    """Say that the attempt lives; `go_on` is false once its job is cancelled."""
    return Renewed(go_on=attempts.renew(attempt_id, token))


@router.post(
    "/attempts/{attempt_id}/measurements",
    summary="Add points to the learning curve",
    status_code=NO_CONTENT,
)
def measurements(
    attempt_id: str,
    batch: Annotated[MeasurementBatch, Body(openapi_examples=BATCHES)],
    token: TokenDep,
    attempts: AttemptsDep,
) -> Response:
    """Keep the points; one of the same name, split and step is written over."""
    attempts.report(attempt_id, token, batch)
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
    device = _device(outcome.device_name, services.devices)
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


def _device(name: str, devices: Devices) -> Device:
    """Return the device that a worker names, this machine's processor where it names none."""
    try:
        return devices.find(name) if name else devices.here()
    except UnknownDevice:
        return devices.here()
