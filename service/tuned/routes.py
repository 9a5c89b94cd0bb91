"""Download what a job made, and read its card."""

from fastapi import APIRouter
from fastapi.responses import FileResponse, PlainTextResponse
from starlette.background import BackgroundTask

from service.dependencies import ServicesDep
from service.files.uploads import incoming_file
from service.openapi import OPENAI_ERRORS
from service.storage.failures import full_disk_told

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["jobs"], responses=OPENAI_ERRORS)


@router.get(
    "/{job_id}/model",
    summary="Download what a job made",
    response_class=FileResponse,
    responses={200: {"content": {"application/zip": {"example": "PK..."}}}},
)
def download(job_id: str, services: ServicesDep) -> FileResponse:
    """Send the adapter, or the whole weights, as a zip file with its model card."""
    with full_disk_told(), incoming_file(services.files.folder) as path:
        services.tuned.pack(job_id, path)
        kept = path.rename(path.with_suffix(".zip"))
    remove = BackgroundTask(kept.unlink, missing_ok=True)
    return FileResponse(
        kept, media_type="application/zip", filename=f"{job_id}.zip", background=remove
    )


@router.get(
    "/{job_id}/model-card",
    summary="Read the model card of what a job made",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/markdown": {"example": "# ft:peftwise-tiny:...\n"}}}},
)
def model_card(job_id: str, services: ServicesDep) -> PlainTextResponse:
    """Say what it is, how it was trained, on which data, how well it did, and by what versions."""
    return PlainTextResponse(services.tuned.card(job_id), media_type="text/markdown")
