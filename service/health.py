"""Whether the process lives, and whether it can answer."""

from typing import Literal

from fastapi import APIRouter
from sqlalchemy import text

from metadata.database import read_session
from metadata.errors import Unavailable
from metadata.records import Record
from service.dependencies import ServicesDep
from service.openapi import PROBLEMS, example

router = APIRouter(tags=["health"], responses=PROBLEMS)


class Alive(Record):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(Record):
    """The database answers too, and there is knowledge to answer from."""

    status: Literal["ok"] = "ok"
    knowledge_version: str


@router.get("/livez", summary="Is the process alive?", responses=example({"status": "ok"}))
async def live() -> Alive:
    """Answer without touching the database."""
    return Alive()


@router.get(
    "/readyz",
    summary="Can it answer?",
    responses=example({"status": "ok", "knowledge_version": "7d1f0a2b"}),
)
def ready(services: ServicesDep) -> Ready:
    """Answer once the database does, and until the server drains before its stop."""
    if services.dispatcher.is_draining:
        raise Unavailable("The server is about to stop. Send the request to the next one.")
    with read_session(services.engine) as session:
        session.execute(text("SELECT 1"))
    return Ready(knowledge_version=services.knowledge.current.version)
