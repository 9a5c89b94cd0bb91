"""Take past runs of other tools: uploads only, never a path or an address."""

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import Field, ValidationError
from starlette.concurrency import run_in_threadpool

from metadata.errors import InvalidRequest
from metadata.importers import IMPORTERS
from metadata.importers.names import names_of
from metadata.importers.reading import runs_at
from metadata.importers.report import Intake
from metadata.importers.spec import Given
from metadata.records import Name, Record
from service.dependencies import NowDep, ServicesDep
from service.files.routes import declared_bytes
from service.files.uploads import receive_upload
from service.openapi import PROBLEMS, example
from service.runs.import_examples import ANSWER, BODY
from service.runs.importing import ImportAnswer, answer_import, keep_runs, safe_name
from service.services import Services
from service.storage.disk import space_of
from service.storage.failures import full_disk_told

router = APIRouter(prefix="/v1/runs", tags=["runs"], responses=PROBLEMS)

FOLDER = "imports"  # in the data folder; empty but while an import runs
STALE_SECONDS = 24 * 3600.0  # what a server that was killed left behind


class ImportForm(Record):
    """The fields of a form beside its file; all may be left out."""

    format: Name | None = None
    map: str = Field(default="", max_length=20_000)
    model: Name | None = None
    device: Name | None = None
    dataset_file_id: Name | None = None
    check: bool = False


@router.post(
    "/import",
    summary="Import past runs of other tools",
    response_model=ImportAnswer,
    responses=example(ANSWER),
    openapi_extra=BODY,
)
async def import_runs(request: Request, services: ServicesDep, now: NowDep) -> ImportAnswer:
    """Take a CSV, Parquet, JSON result or MLflow store, or a zip of a folder of runs.

    What was taken, guessed and refused is told by file and row. The same upload once more changes
    nothing. `map` has lines `ours=theirs` for columns; `dataset_file_id` is a training file that
    was uploaded before, whose facts the runs then have; with `check` the new runs are learnt from
    at once, and what is better on datasets left out goes live.
    """
    with full_disk_told(), _incoming_folder(services) as folder:
        space = await run_in_threadpool(space_of, services.settings)
        space.check(declared_bytes(request))
        content_type = request.headers.get("content-type", "")
        received = await receive_upload(
            content_type, request.stream(), folder / "upload", space=space
        )
        form = _read(received.fields)
        path = received.path.rename(folder / safe_name(received.label))
        found = partial(
            runs_at,
            path,
            given=_given(services, form),
            now=now,
            importer=form.format,
            scratch=folder,
        )
        return await run_in_threadpool(_import, services, found, check=form.check)


def _import(services: Services, found: partial[Iterator[Any]], *, check: bool) -> ImportAnswer:
    intake = Intake()
    kept = keep_runs(services.history, found(intake=intake))
    return answer_import(intake, kept, services.history, services.knowledge, check=check)


@contextmanager
def _incoming_folder(services: Services) -> Iterator[Path]:
    """Lend a folder for one import; older ones that nobody lives to remove go too."""
    home = services.settings.data_dir / FOLDER
    home.mkdir(parents=True, exist_ok=True)
    for left in home.iterdir():
        if time.time() - left.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=home, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _read(fields: Mapping[str, str]) -> ImportForm:
    """Return the fields of a form, checked as the framework would; an empty one says nothing."""
    told = {name: value for name, value in fields.items() if value.strip()}
    try:
        return ImportForm.model_validate(told)
    except ValidationError as error:
        errors = [{**found, "loc": ("body", *found["loc"])} for found in error.errors()]
        raise RequestValidationError(errors) from None


def _given(services: Services, form: ImportForm) -> Given:
    """Return what the form says beyond the upload.

    Raises:
        InvalidRequest: A model, device, file or mapping that is not known.
    """
    if form.format is not None and form.format not in IMPORTERS:
        raise InvalidRequest(
            f"format is one of {', '.join(IMPORTERS)}, got {form.format[:60]!r}. Leave it out to "
            "have it found.",
            param="format",
        )
    return Given(
        names=names_of(form.map.splitlines()),
        model=None if form.model is None else services.models.find(form.model),
        device=None if form.device is None else services.devices.find(form.device),
        dataset=None
        if form.dataset_file_id is None
        else services.files.profile(form.dataset_file_id, param="dataset_file_id"),
    )
