"""What a route may ask for."""

from datetime import datetime
from typing import Annotated, cast

from fastapi import Depends, Request

from metadata.browsing import Browser
from metadata.errors import Unauthorized
from metadata.history import History
from service.catalogue.devices import Devices
from service.catalogue.models import Models
from service.files.store import FileStore
from service.jobs.attempts import Attempts
from service.jobs.holding import hash_of
from service.jobs.logs import LogStore
from service.jobs.queue import Queue
from service.jobs.recording import Recorder
from service.jobs.submission import Desk
from service.recommender.knowledge import KnowledgeStore
from service.recommender.store import RecommendationStore
from service.services import Services


def _services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


LOCAL = "local"  # the caller of a server without a key
ServicesDep = Annotated[Services, Depends(_services)]


def _now(services: ServicesDep) -> datetime:
    return services.now()


def _history(services: ServicesDep) -> History:
    return services.history


def _browser(services: ServicesDep) -> Browser:
    return Browser(services.engine)


def _files(services: ServicesDep) -> FileStore:
    return services.files


def _models(services: ServicesDep) -> Models:
    return services.models


def _devices(services: ServicesDep) -> Devices:
    return services.devices


def _knowledge(services: ServicesDep) -> KnowledgeStore:
    return services.knowledge


def _recommendations(services: ServicesDep) -> RecommendationStore:
    return services.recommendations


def _queue(services: ServicesDep) -> Queue:
    return services.queue


def _attempts(services: ServicesDep) -> Attempts:
    return services.attempts


def _recorder(services: ServicesDep) -> Recorder:
    return services.recorder


def _logs(services: ServicesDep) -> LogStore:
    return services.logs


def _caller(services: ServicesDep) -> str:
    """Return whose jobs these are: the key's, which every route has asked for, or `local`."""
    key = services.settings.api_key
    return LOCAL if key is None else f"key-{hash_of(key.get_secret_value())[:12]}"


def _desk(services: ServicesDep) -> Desk:
    return services.desk


def _token(request: Request, attempt_id: str, services: ServicesDep) -> str:
    """Return the token of an attempt, known to be its own before the body is looked at."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized(
            "Routes of an attempt need its token as `Authorization: Bearer TOKEN`, got none. "
            "Claim an attempt with its code to get one."
        )
    services.attempts.check_token(attempt_id, token.strip())
    return token.strip()


NowDep = Annotated[datetime, Depends(_now)]
HistoryDep = Annotated[History, Depends(_history)]
BrowserDep = Annotated[Browser, Depends(_browser)]
FilesDep = Annotated[FileStore, Depends(_files)]
ModelsDep = Annotated[Models, Depends(_models)]
DevicesDep = Annotated[Devices, Depends(_devices)]
KnowledgeStoreDep = Annotated[KnowledgeStore, Depends(_knowledge)]
RecommendationsDep = Annotated[RecommendationStore, Depends(_recommendations)]
QueueDep = Annotated[Queue, Depends(_queue)]
AttemptsDep = Annotated[Attempts, Depends(_attempts)]
RecorderDep = Annotated[Recorder, Depends(_recorder)]
LogsDep = Annotated[LogStore, Depends(_logs)]
CallerDep = Annotated[str, Depends(_caller)]
DeskDep = Annotated[Desk, Depends(_desk)]
TokenDep = Annotated[str, Depends(_token)]
