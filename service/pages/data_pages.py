"""The page of training data: check a file, take a repaired copy, keep it, look at what is here."""

from dataclasses import replace
from typing import Annotated
from urllib.parse import quote

from fastapi import Query, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool

from metadata.errors import InvalidRequest, PeftwiseError
from service.datasets.checking import check_paths, stored
from service.dependencies import ServicesDep
from service.errors import status_of
from service.files.routes import delete
from service.files.uploads import Upload, incoming_file
from service.pages import contexts, urls
from service.pages.ask_form import PASTED_NAME
from service.pages.checked_files import CheckedFiles
from service.pages.data_contexts import Checked
from service.pages.data_view import KEEP_ORIGINAL, KEEP_REPAIRED, view_check, view_data
from service.pages.incoming import plain_fields, receive
from service.pages.page_route import page_router
from service.pages.rendering import respond
from service.services import Services
from service.storage.disk import space_of
from service.storage.failures import full_disk_told

FILES_A_PAGE = 20
LONGEST_NAME = 120
Cursor = Annotated[str | None, Query(max_length=200)]
FileName = Annotated[str, Query(max_length=500)]
router = page_router()


@router.get("/data")
def show_data(services: ServicesDep, after: Cursor = None) -> HTMLResponse:
    """Show the form and a page of files, newest first."""
    return _page(services, after=after)


@router.post("/data")
async def check(request: Request, services: ServicesDep) -> HTMLResponse:
    """Check a file that is sent, and show all that is wrong with it."""
    with full_disk_told(), incoming_file(services.files.folder) as path:
        space = await run_in_threadpool(space_of, services.settings)
        upload = await receive(request, path, space=space)
        return await run_in_threadpool(_check, services, upload)


@router.get("/data/repaired/{token}")
def repaired(token: str, services: ServicesDep, name: FileName = "") -> FileResponse:
    """Send the repaired copy of a file that was checked a moment ago; browsers save it."""
    path = CheckedFiles(services.files.folder).find(token, is_repaired=True)
    label = quote(_repaired_name(name), safe="")
    return FileResponse(
        path,
        media_type="application/octet-stream",
        headers={"Content-Disposition": f"attachment; filename*=UTF-8''{label}"},
    )


@router.post("/data/kept")
async def keep(request: Request, services: ServicesDep) -> RedirectResponse:
    """Keep a file that was checked a moment ago, or its repaired copy, as a training file."""
    return await run_in_threadpool(_keep, services, await plain_fields(request))


@router.post("/data/{file_id}/check")
def check_again(file_id: str, services: ServicesDep) -> HTMLResponse:
    """Check a file that is here."""
    found = check_paths(
        services, stored(services, file_id, "file_id"), validation_file_id=None, model=None
    )
    checked = view_check(found, name=services.files.get(file_id).label, token="")
    return _page(services, checked=checked)


@router.post("/data/{file_id}/delete")
def remove(file_id: str, services: ServicesDep) -> RedirectResponse:
    """Delete a file for good, unless a job still needs it."""
    delete(file_id, services)
    return RedirectResponse(urls.data(), status_code=303)


def _page(
    services: Services,
    *,
    after: str | None = None,
    model: str = "",
    checked: Checked | None = None,
    problem: contexts.Problem | None = None,
    status: int = 200,
) -> HTMLResponse:
    shown = view_data(
        services.files.page(limit=FILES_A_PAGE, after=after),
        models=[known.profile.id for known in services.models],
        is_first=after is None,
        model=model,
        checked=checked,
        problem=problem,
    )
    return respond(shown, status=status)


def _check(services: Services, upload: Upload) -> HTMLResponse:
    model = upload.fields.get("model", "").strip()
    try:
        checked = _checked(services, upload, model=model)
    except PeftwiseError as error:
        problem = contexts.Problem(message=str(error), field=error.param or "")
        return _page(services, model=model, problem=problem, status=status_of(error))
    return _page(services, model=model, checked=checked)


def _checked(services: Services, upload: Upload, *, model: str) -> Checked:
    pasted = upload.fields.get("examples", "")
    if not upload.label and pasted.strip():
        size = upload.path.write_text(pasted)
        upload = replace(upload, label=PASTED_NAME, size_bytes=size)
    if not upload.label:
        raise InvalidRequest("Choose a file to check, or paste some lines.", param="file")
    kept = CheckedFiles(services.files.folder)
    token = kept.take(upload.path)
    found = check_paths(
        services,
        kept.original(token),
        validation_file_id=None,
        model=model or None,
        copy_to=kept.repaired(token),
    )
    return view_check(found, name=upload.label[:LONGEST_NAME], token=token)


def _keep(services: Services, fields: dict[str, str]) -> RedirectResponse:
    which = fields.get("which", "")
    if which not in {KEEP_ORIGINAL, KEEP_REPAIRED}:
        raise InvalidRequest(f"Keep the original or the repaired copy, got {which[:40]!r}.")
    is_repaired = which == KEEP_REPAIRED
    name = fields.get("name", "")
    kept = CheckedFiles(services.files.folder)
    path = kept.find(fields.get("token", ""), is_repaired=is_repaired)
    upload = Upload(
        path=path,
        label=_repaired_name(name) if is_repaired else name,
        size_bytes=path.stat().st_size,
        fields={"purpose": "fine-tune"},
    )
    services.files.add(upload, now=services.now())
    return RedirectResponse(urls.data(), status_code=303)


def _repaired_name(name: str) -> str:
    """Return `train.repaired.jsonl` for `train.jsonl`; never with a folder."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1][:LONGEST_NAME] or "train.jsonl"
    stem, dot, ending = last.rpartition(".")
    return f"{stem}.repaired.{ending}" if dot and stem else f"{last}.repaired"
