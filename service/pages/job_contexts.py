"""What the pages of jobs and workers are given."""

from dataclasses import dataclass
from typing import ClassVar

from service.pages import charts, forecast_charts
from service.pages.contexts import Group, Row


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of the ways to look at a list."""

    title: str
    link: str
    is_current: bool


@dataclass(frozen=True, kw_only=True)
class JobLine:
    """One job in the list."""

    id: str
    link: str
    model: str
    method: str
    state: str
    state_kind: str
    percent: int
    created: str
    created_iso: str


@dataclass(frozen=True, kw_only=True)
class JobsPage:
    """The jobs, newest first; `stream` tells of changes."""

    template: ClassVar[str] = "jobs.html"
    section: ClassVar[str] = "jobs"

    title: str
    choices: tuple[Choice, ...]
    lines: tuple[JobLine, ...]
    is_filtered: bool
    first_link: str
    next_link: str
    stream: str


@dataclass(frozen=True, kw_only=True)
class EventLine:
    """Something that happened to a job."""

    time: str
    time_iso: str
    message: str
    is_problem: bool


@dataclass(frozen=True, kw_only=True)
class AttemptLine:
    """One try at a job."""

    number: str
    by: str
    started: str
    started_iso: str
    heard: str
    state: str
    state_kind: str
    device: str


@dataclass(frozen=True, kw_only=True)
class ForecastLine:
    """A forecast beside what has happened; `bar` is None where there is no interval."""

    name: str
    forecast: str
    interval: str
    observed: str
    verdict: str
    bar: forecast_charts.ForecastBar | None


@dataclass(frozen=True, kw_only=True)
class Log:
    """The end of what a job printed; `note` says what is not shown."""

    text: str
    note: str
    link: str


@dataclass(frozen=True, kw_only=True)
class JobPage:
    """One job as it stands; `refresh_seconds` is 0 once it has ended."""

    template: ClassVar[str] = "job.html"
    section: ClassVar[str] = "jobs"

    title: str
    id: str
    link: str
    sentence: str
    state: str
    state_kind: str
    status: str
    percent: int
    refresh_seconds: int
    stream: str
    actions: tuple[Row, ...]  # what the button says, and where it sends
    run_link: str
    reason: str
    figures: tuple[Row, ...]
    chart: charts.CurveChart | None
    forecasts: tuple[ForecastLine, ...]
    attempts: tuple[AttemptLine, ...]
    events: tuple[EventLine, ...]
    events_note: str
    log: Log
    groups: tuple[Group, ...]
    json_link: str


@dataclass(frozen=True, kw_only=True)
class RunningLine:
    """What a worker runs."""

    job: str
    link: str
    model: str
    percent: int
    attempt: str
    since: str
    heard: str
    lease: str
    is_late: bool


@dataclass(frozen=True, kw_only=True)
class WorkerCard:
    """One worker."""

    name: str
    kind: str
    state: str
    state_kind: str
    figures: tuple[Row, ...]
    running: tuple[RunningLine, ...]


@dataclass(frozen=True, kw_only=True)
class WorkersPage:
    """Who works, and what the executor of this server can still start."""

    template: ClassVar[str] = "workers.html"
    section: ClassVar[str] = "workers"

    title: str
    refresh_seconds: int
    stream: str
    executor: tuple[Row, ...]
    executor_name: str
    missing: str
    is_off: bool
    cards: tuple[WorkerCard, ...]
    command: str
