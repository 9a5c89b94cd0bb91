"""Check training files over HTTP."""

import json
from functools import partial
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from metadata.records import Record
from service.bodies import MULTIPART
from service.datasets.checking import check_paths, stored
from service.datasets.examples import ANSWER, BODIES
from service.datasets.schemas import DatasetCheckAnswer, DatasetCheckForm, DatasetCheckRequest
from service.dependencies import ServicesDep
from service.files.routes import declared_bytes
from service.files.uploads import incoming_file, receive_upload
from service.openapi import PROBLEMS, example
from service.services import Services
from service.storage.disk import space_of
from service.storage.failures import full_disk_told

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], responses=PROBLEMS)
_Body = TypeVar("_Body", bound=Record)


@router.post(
    "/check",
    summary="Find all that is wrong with a training file",
    response_model=DatasetCheckAnswer,
    responses=example(ANSWER),
    openapi_extra=BODIES,
)
async def check(request: Request, services: ServicesDep) -> DatasetCheckAnswer:
    """Check every line against every rule: a file sent as a form, or one uploaded before.

    A file in a form is read from the data folder, where it lies while it is checked, and is not
    kept. Errors are what training would refuse or what makes its score worthless.
    """
    if request.headers.get("content-type", "").lower().startswith(MULTIPART):
        return await _check_form(request, services)
    asked = _read(DatasetCheckRequest, json.loads(await request.body() or b"null"))
    return await run_in_threadpool(_check_stored, services, asked)


async def _check_form(request: Request, services: Services) -> DatasetCheckAnswer:
    with full_disk_told(), incoming_file(services.files.folder) as path:
        space = await run_in_threadpool(space_of, services.settings)
        space.check(declared_bytes(request))
        content_type = request.headers["content-type"]
        received = await receive_upload(content_type, request.stream(), path, space=space)
        fields = _read(DatasetCheckForm, received.fields)
        return await run_in_threadpool(
            partial(
                check_paths,
                services,
                received.path,
                validation_file_id=fields.validation_file_id,
                model=fields.model,
            )
        )


def _check_stored(services: Services, asked: DatasetCheckRequest) -> DatasetCheckAnswer:
    return check_paths(
        services,
        stored(services, asked.file_id, "file_id"),
        validation_file_id=asked.validation_file_id,
        model=asked.model,
    )


def _read(kind: type[_Body], body: Any) -> _Body:
    """Return a body as its type; the framework would read it before it knows which kind it is."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        errors = [{**found, "loc": ("body", *found["loc"])} for found in error.errors()]
        raise RequestValidationError(errors) from None
