"""Whether the promises hold, over HTTP."""

from fastapi import APIRouter

from service.dependencies import ServicesDep
from service.doctor.examine import examine
from service.doctor.schemas import Findings
from service.openapi import PROBLEMS, example

router = APIRouter(prefix="/v1/doctor", tags=["health"], responses=PROBLEMS)
_LINE = {"name": "7. Cancelled is final", "is_well": True, "detail": ""}


@router.get(
    "",
    summary="Do all promises hold?",
    responses=example({"object": "list", "is_well": True, "data": [_LINE]}),
)
def doctor(services: ServicesDep) -> Findings:
    """Ask the database for each promise, and look at executor, disk and versions."""
    found = examine(services)
    return Findings(is_well=all(finding.is_well for finding in found), data=found)
