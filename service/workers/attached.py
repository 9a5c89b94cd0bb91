"""Workers by name: what each runs, what it has done lately, when it was heard of last."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from metadata.database import read_session
from metadata.errors import Unavailable
from metadata.records import Device
from service.jobs.queue import database_time
from service.jobs.shared_folder import CHECKPOINTS, mark_of
from service.jobs.workers import PREFIX
from service.services import Services
from service.workers.tries import Try, newest_device, recent_tries

LATELY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Worker:
    """Whoever starts attempts.

    Attributes:
        name: For people: as it named itself, or that of the executor.
        is_attached: Whether it asks for work itself, over HTTP; else a server starts its attempts.
        is_here: Whether this very server does.
        running: What it runs, newest first.
        started: Attempts it was given since yesterday.
        ends: How those ended, by outcome; `lost` where none was told.
        heard_at: When it renewed a lease, ended an attempt or asked for work last.
        device: What its newest attempt that said so ran on.
    """

    name: str
    is_attached: bool
    is_here: bool
    running: tuple[Try, ...]
    started: int
    ends: Mapping[str, int]
    heard_at: datetime | None
    device: Device | None


@dataclass(frozen=True, kw_only=True)
class Executor:
    """What starts attempts on this server; `missing` says why it cannot."""

    name: str
    free: int
    parallel_runs: int
    devices_per_run: int
    missing: str | None


@dataclass(frozen=True, kw_only=True)
class Workforce:
    """Everyone who works for the database of a server, at one moment."""

    now: datetime
    executor: Executor
    workers: tuple[Worker, ...]


def workforce(services: Services) -> Workforce:
    """Return who works now or did so since yesterday, whoever was heard of last first."""
    with read_session(services.engine) as session:
        now = database_time(session)
    since = now - LATELY
    tries: dict[str, list[Try]] = defaultdict(list)
    for one in recent_tries(services.engine, since=since, timing=services.timing):
        tries[one.started_by].append(one)
    asked = {f"{PREFIX}{name}": at for name, at in services.sightings.since(since).items()}
    here = own_name(services)
    workers = [
        _worker(name, tries.get(name, []), asked.get(name), is_here=name == here)
        for name in sorted({*tries, *asked})
    ]
    workers.sort(key=lambda one: (one.heard_at is None, now - (one.heard_at or now)))
    return Workforce(now=now, executor=_executor(services), workers=tuple(workers))


def own_name(services: Services) -> str:
    """Return what stands in the rows of attempts that this server starts."""
    mark = mark_of(services.settings.data_dir / CHECKPOINTS)
    return f"{services.settings.executor}:{mark[:8]}"


def _worker(
    started_by: str, tries: Sequence[Try], asked_at: datetime | None, *, is_here: bool
) -> Worker:
    ended = [one for one in tries if one.ended_at is not None]
    heard = [asked_at, *(one.heard_at for one in tries), *(one.ended_at for one in ended)]
    return Worker(
        name=started_by.removeprefix(PREFIX),
        is_attached=started_by.startswith(PREFIX),
        is_here=is_here,
        running=tuple(one for one in tries if one.ended_at is None),
        started=len(tries),
        ends=dict(Counter(one.outcome or "lost" for one in ended)),
        heard_at=max((at for at in heard if at is not None), default=None),
        device=newest_device(tries),
    )


def _executor(services: Services) -> Executor:
    settings = services.settings
    try:
        missing, free = services.dispatcher.look()
    except Unavailable as error:
        missing, free = str(error), 0
    return Executor(
        name=settings.executor,
        free=free,
        parallel_runs=settings.parallel_runs,
        devices_per_run=settings.devices_per_run,
        missing=missing,
    )
