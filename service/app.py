"""The application: its routers, what every request passes first, how it starts and stops."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from starlette.concurrency import run_in_threadpool

from service import errors, health
from service.bodies import BodyGuard
from service.catalogue.routes import router as catalogue
from service.datasets.routes import router as datasets
from service.doctor.routes import router as doctor
from service.estimates.routes import router as estimates
from service.exporters.routes import router as exporters
from service.files.routes import router as files
from service.folder_lock import hold_server
from service.jobs.routes import router as jobs
from service.jobs.worker_routes import router as worker
from service.jobs.workers import router as workers
from service.live.routes import pages as live_pages
from service.live.routes import router as live
from service.outlooks.routes import router as outlooks
from service.pages.routes import router as pages
from service.recommender.routes import router as recommender
from service.runs.import_routes import router as imports
from service.runs.looking_routes import router as looking
from service.runs.routes import router as runs
from service.security import AnswerGuard, RequestGuard, check_settings
from service.services import Services, open_services
from service.settings import Settings
from service.tuned.routes import router as tuned
from service.workers.routes import router as workforce

log = logging.getLogger(__name__)

ROUTERS: tuple[APIRouter, ...] = (
    health.router,
    outlooks,
    recommender,
    exporters,
    files,
    datasets,
    estimates,
    jobs,
    tuned,
    looking,  # before the runs, whose routes take any name for an id
    runs,
    imports,
    catalogue,
    worker,
    workers,
    workforce,
    doctor,
    live,
    live_pages,
    pages,
)
_ABOUT = """\
Which PEFT method, rank and learning rate? An answer at once, learnt from past runs.

Files, fine-tuning jobs and models speak OpenAI's dialect; all else answers errors as
`application/problem+json`. Every error says the rule, the value seen and the next step.
"""


def create_app(settings: Settings) -> FastAPI:
    """Return the application, its database open and its knowledge loaded.

    Jobs run only while its lifespan does, as under a server.

    Raises:
        InvalidRequest: The settings would open the service to others without a key, or name
            something that is not there.
        Unavailable: The database does not answer.
    """
    check_settings(settings)
    app = FastAPI(
        title="Peftwise",
        version=version("peftwise"),
        description=_ABOUT,
        lifespan=_lifespan,
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = open_services(settings)
    for router in ROUTERS:
        app.include_router(router)
    errors.install(app)
    # The last one added is the first to see a request.
    app.add_middleware(BodyGuard, settings=settings)
    app.add_middleware(RequestGuard, settings=settings)
    app.add_middleware(AnswerGuard)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    with hold_server(services.settings):
        await run_in_threadpool(_start, services)
        try:
            yield
        finally:
            await run_in_threadpool(_stop, services)


def _start(services: Services) -> None:
    services.files.remove_unfinished()
    services.recorder.catch_up()
    services.dispatcher.start()


def _stop(services: Services) -> None:
    services.knowledge.close()
    services.dispatcher.stop()
    services.engine.dispose()
