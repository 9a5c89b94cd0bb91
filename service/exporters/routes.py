"""Take a rank of a recommendation away as a file for a trainer."""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Response

from service.dependencies import FilesDep, ModelsDep, RecommendationsDep
from service.exporters import EXPORTERS
from service.exporters.export import export
from service.exporters.gather import MOST_CHARACTERS, gather
from service.exporters.source import Records
from service.openapi import PROBLEMS

ORIGIN_HEADER = "X-Peftwise-Origin"  # the file's own comment, for formats that have none
router = APIRouter(tags=["recommendations"], responses=PROBLEMS)
_FORMATS = ", ".join(EXPORTERS)
_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file",
        "content": {
            "application/yaml": {
                "example": "# Recommendation rec-0a1b2c, rank 1, of Peftwise\n\nadapter: lora\n"
            }
        },
        "headers": {
            ORIGIN_HEADER: {
                "description": "where the file comes from and what it cannot say, percent-encoded",
                "schema": {"type": "string"},
            }
        },
    }
}


@router.get(
    "/v1/recommendations/{recommendation_id}/export",
    summary="Take a recommended configuration away as a file for another trainer",
    response_class=Response,
    responses=_FILE,
)
def take_away(
    recommendation_id: str,
    recommendations: RecommendationsDep,
    models: ModelsDep,
    files: FilesDep,
    format_: Annotated[str, Query(alias="format", description=f"one of {_FORMATS}")],
    rank: Annotated[int, Query(ge=1, le=50)] = 1,
    data: Annotated[
        str | None,
        Query(max_length=MOST_CHARACTERS, description="how the file names the training data"),
    ] = None,
    records: Annotated[
        Records | None,
        Query(description="what the data's records are, where no uploaded file says it"),
    ] = None,
) -> Response:
    """Write a file that trains as the configuration says, or refuse.

    Nothing is dropped: where the tool has no way to say a part of the configuration the answer is
    422, and names what that is and which formats can. A comment at the head of the file says where
    it comes from and what the tool does a little otherwise; the header X-Peftwise-Origin has the
    same, line by line.
    """
    source = gather(
        recommendation_id,
        rank=rank,
        data=data,
        records=records,
        recommendations=recommendations,
        models=models,
        files=files,
    )
    written = export(source, format_)
    return Response(
        written.text,
        media_type=written.media_type,
        headers={
            "Content-Disposition": f'attachment; filename="{written.file_name}"',
            ORIGIN_HEADER: quote("\n".join(written.lines), safe=" ,.:;/()'"),
        },
    )
