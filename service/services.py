"""All that the routes share, put together once from the settings."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import pyarrow.parquet
from sqlalchemy import Engine

from metadata.collecting import uncollected
from metadata.database import open_database
from metadata.errors import UnknownDevice
from metadata.features.device import GIB, THIS_MACHINE
from metadata.history import History
from metadata.records import Device
from metadata.runs_file import SHIPPED_RUNS, read_runs
from service.catalogue.devices import FOLDER, Devices
from service.catalogue.models import Models
from service.executors import EXECUTORS
from service.executors.devices import first_gpu
from service.executors.dispatcher import Dispatcher
from service.files.store import FileStore
from service.housekeeping import Housekeeping
from service.jobs.attempts import Attempts
from service.jobs.logs import LogStore
from service.jobs.losses import Losses
from service.jobs.queue import Queue
from service.jobs.recording import Recorder
from service.jobs.shared_folder import CHECKPOINTS, mark_of
from service.jobs.submission import Advice, Asked, Desk
from service.jobs.timing import Timing
from service.live.reader import Reader
from service.live.streams import Live
from service.recommender.answer import answer
from service.recommender.knowledge import KnowledgeStore
from service.recommender.schemas import (
    BaseModelChoice,
    Budget,
    DatasetChoice,
    Hardware,
    RecommendationRequest,
)
from service.recommender.store import RecommendationStore
from service.settings import Settings
from service.tuned.store import Tuned
from service.workers.sightings import Sightings

Now = Callable[[], datetime]


@dataclass(frozen=True, kw_only=True)
class Services:
    """What stands behind the routes of one server."""

    settings: Settings
    now: Now
    engine: Engine
    history: History
    files: FileStore
    models: Models
    devices: Devices
    knowledge: KnowledgeStore
    recommendations: RecommendationStore
    timing: Timing
    queue: Queue
    attempts: Attempts
    losses: Losses
    logs: LogStore
    recorder: Recorder
    desk: Desk
    dispatcher: Dispatcher
    tuned: Tuned
    live: Live
    sightings: Sightings

    def drain(self) -> None:
        """Start no more jobs, have those that run here write a checkpoint and stop; end streams."""
        self.dispatcher.stop()
        self.live.close()


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def open_services(settings: Settings, *, now: Now = utc_now) -> Services:
    """Open the database and the knowledge; start nothing.

    Raises:
        PeftwiseError: The database, the data folder or a listed model cannot be used.
    """
    engine = open_database(settings.database)
    history = History(engine)
    add_shipped_runs(history)
    files = FileStore(engine, settings.data_dir / "files")
    models = Models(settings.models)
    devices = Devices(settings.data_dir / FOLDER)
    knowledge = KnowledgeStore(settings.data_dir / "knowledge")
    recommendations = RecommendationStore(engine)
    timing = Timing(settings.lease_seconds)
    attempts = Attempts(engine, timing=timing, files=files)
    losses = Losses(engine, timing=timing)
    recorder = Recorder(engine, history)
    queue = Queue(engine, live_jobs=settings.live_jobs)
    logs = LogStore(settings.data_dir / "logs")
    device = _device_of_attempts(settings, devices)
    hardware = _hardware(device)
    advise = partial(_advise, knowledge, recommendations, models, devices, now, hardware)
    return Services(
        settings=settings,
        now=now,
        engine=engine,
        history=history,
        files=files,
        models=models,
        devices=devices,
        knowledge=knowledge,
        recommendations=recommendations,
        timing=timing,
        queue=queue,
        attempts=attempts,
        losses=losses,
        logs=logs,
        recorder=recorder,
        desk=Desk(
            models=models,
            files=files,
            recommendations=recommendations,
            device=device,
            advise=advise,
        ),
        tuned=Tuned(queue, history, settings.data_dir),
        live=Live(Reader(engine, logs)),
        sightings=Sightings(),
        dispatcher=_dispatcher(settings, engine, attempts, losses, recorder),
    )


def _device_of_attempts(settings: Settings, devices: Devices) -> Device:
    """Return what trains here: the GPUs of one attempt, else the processor that all share."""
    gpu = first_gpu(os.environ) if settings.executor == "local" else None
    device, count = devices.here(), settings.devices_per_run
    if gpu is not None:
        with contextlib.suppress(UnknownDevice):
            device = devices.find(gpu.name, count=count, memory_gib=gpu.memory_gib)
    price = settings.usd_per_hour  # of the machine
    return device.model_copy(update={"usd_per_hour": price and price / device.count})


def _hardware(device: Device) -> Hardware:
    """Return a device as the recommender is asked for it."""
    if device.kind == "cpu":
        return Hardware(device=THIS_MACHINE, usd_per_hour=device.usd_per_hour)
    return Hardware(
        device=device.name,
        count=device.count,
        memory_gib=device.memory_bytes / GIB,
        usd_per_hour=device.usd_per_hour,
    )


def _dispatcher(
    settings: Settings, engine: Engine, attempts: Attempts, losses: Losses, recorder: Recorder
) -> Dispatcher:
    make_executor = EXECUTORS.get(settings.executor)
    mark = mark_of(settings.data_dir / CHECKPOINTS)  # servers of one database are told apart by it
    return Dispatcher(
        attempts,
        losses,
        None if make_executor is None else make_executor(settings),
        name=f"{settings.executor}:{mark[:8]}",
        devices=settings.devices_per_run,
        tidy=Housekeeping(engine, recorder, settings),
    )


def add_shipped_runs(history: History) -> int:
    """Add the shipped runs that the history lacks, and return how many; quick where none.

    Those that were deleted stay away.
    """
    if not SHIPPED_RUNS.is_file():
        return 0
    ids = pyarrow.parquet.read_table(SHIPPED_RUNS, columns=["id"])["id"].to_pylist()
    if not history.unknown(ids):
        return 0
    with uncollected():
        return history.add_many(read_runs(SHIPPED_RUNS))


def _advise(
    knowledge: KnowledgeStore,
    recommendations: RecommendationStore,
    models: Models,
    devices: Devices,
    now: Now,
    hardware: Hardware,
    asked: Asked,
) -> Advice:
    """Ask the recommender what this machine should run, and keep its answer."""
    request = RecommendationRequest(
        base_model=BaseModelChoice(id=asked.model.id),
        dataset=DatasetChoice(profile=asked.dataset),
        hardware=hardware,
        budget=Budget(
            train_minutes=None if asked.most_seconds is None else asked.most_seconds / 60
        ),
        training_objective=asked.objective.name,
        serve_with=asked.serve_with,
        count=1,
    )
    given = answer(
        request,
        knowledge.current,
        now=now(),
        known_model=models.find,
        known_device=devices.find,
    )
    recommendations.keep(request, given)
    return Advice(recommendation_id=given.id, first=given.configurations[0])
