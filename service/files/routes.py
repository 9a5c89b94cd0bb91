"""Training files in OpenAI's dialect."""

from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool

from metadata.errors import Conflict
from service.dependencies import FilesDep, NowDep, ServicesDep
from service.files.schemas import FileAnswer, FileDeleted, FileList, file_answer
from service.files.uploads import incoming_file, receive_upload
from service.openapi import OPENAI_ERRORS, example
from service.storage.disk import space_of
from service.storage.failures import full_disk_told

router = APIRouter(prefix="/v1/files", tags=["files"], responses=OPENAI_ERRORS)

_LENGTHS = {"mean": 48.2, "p50": 46, "p90": 71, "p99": 93, "max": 110}
_FILE: dict[str, Any] = {
    "id": "file-3b9f0c1d2e4a5b6c7d8e9f00",
    "object": "file",
    "bytes": 20480,
    "created_at": 1767225600,
    "filename": "train.jsonl",
    "purpose": "fine-tune",
    "status": "processed",
    "status_details": None,
    "expires_at": None,
    "peft": {
        "profile": {
            "name": "train.jsonl",
            "group": "5d" * 32,
            "sha256": "5d" * 32,
            "kind": "classification",
            "examples": 200,
            "prompt_bytes": _LENGTHS,
            "completion_bytes": _LENGTHS,
            "distinct_words": 812,
            "repeated_word_fraction": 0.7,
            "distinct_completions": 6,
            "completion_entropy_bits": 2.4,
            "duplicate_fraction": 0.0,
            "compression_ratio": 0.4,
            "probe": None,
        }
    },
}
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "JSONL"},
                        "purpose": {"type": "string", "enum": ["fine-tune"]},
                    },
                },
                "example": {
                    "purpose": "fine-tune",
                    "file": '{"prompt": "Capital of France?", "completion": "Paris"}\n',
                },
            }
        },
    }
}


@router.post(
    "",
    summary="Upload a training file",
    response_model=FileAnswer,
    responses=example(_FILE),
    openapi_extra=_FORM,
)
async def upload(request: Request, services: ServicesDep, now: NowDep) -> FileAnswer:
    """Take a JSONL file of examples; each line is checked, and a bad one named by its number.

    The body is written to the data folder while it streams, which is why it is not declared.
    """
    files = services.files
    with full_disk_told(), incoming_file(files.folder) as path:
        space = await run_in_threadpool(space_of, services.settings)
        space.check(declared_bytes(request))
        content_type = request.headers.get("content-type", "")
        received = await receive_upload(content_type, request.stream(), path, space=space)
        (await run_in_threadpool(space_of, services.settings)).check()  # others upload too
        stored = await run_in_threadpool(files.add, received, now=now)
    return file_answer(stored)


def declared_bytes(request: Request) -> int:
    """Return how long a body says it is, 0 where it does not; its form is a little of it."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdigit() else 0


@router.get(
    "",
    summary="List files, newest first unless asked otherwise",
    responses=example(
        {
            "object": "list",
            "data": [_FILE],
            "has_more": False,
            "first_id": _FILE["id"],
            "last_id": _FILE["id"],
        }
    ),
)
def list_files(
    files: FilesDep,
    limit: Annotated[int, Query(description="1 to 10,000")] = 100,
    after: Annotated[str | None, Query(max_length=200)] = None,
    purpose: Annotated[str | None, Query(max_length=100, description="only such files")] = None,
    order: Annotated[Literal["asc", "desc"], Query(description="by creation")] = "desc",
) -> FileList:
    """Return a page of files."""
    is_ascending = order == "asc"
    page = files.page(limit=limit, after=after, purpose=purpose, is_ascending=is_ascending)
    data = [file_answer(file) for file in page.files]
    return FileList(
        data=data,
        has_more=page.has_more,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
    )


@router.get("/{file_id}", summary="Describe a file", responses=example(_FILE))
def read(file_id: str, files: FilesDep) -> FileAnswer:
    """Return what is known of a file."""
    return file_answer(files.get(file_id))


@router.get(
    "/{file_id}/content",
    summary="Download a file",
    response_class=FileResponse,
    responses={200: {"content": {"application/octet-stream": {"example": '{"prompt": "..."}\n'}}}},
)
def content(file_id: str, files: FilesDep) -> FileResponse:
    """Send a file as it was uploaded; browsers save it and show it never."""
    label = files.get(file_id).label
    disposition = f"attachment; filename*=UTF-8''{quote(label, safe='')}"
    return FileResponse(
        files.path(file_id),
        media_type="application/octet-stream",
        headers={"Content-Disposition": disposition},
    )


@router.delete(
    "/{file_id}",
    summary="Delete a file",
    responses=example({"id": _FILE["id"], "object": "file", "deleted": True}),
)
def delete(file_id: str, services: ServicesDep) -> FileDeleted:
    """Remove a file for good, unless a job still needs it."""
    services.files.get(file_id)
    job_id = services.queue.uses_file(file_id)
    if job_id is not None:
        raise Conflict(
            f"File {file_id} is needed by job {job_id}. Wait for its end, or cancel it.",
            param="file_id",
        )
    services.files.remove(file_id)
    return FileDeleted(id=file_id)
