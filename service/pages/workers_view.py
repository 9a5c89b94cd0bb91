"""From those who work to what their page shows."""

from datetime import datetime, timedelta

from service import wording
from service.pages import contexts, urls
from service.pages.job_contexts import RunningLine, WorkerCard, WorkersPage
from service.pages.moments import ago, ahead
from service.workers.attached import Executor, Worker, Workforce
from service.workers.tries import Try

REFRESH_SECONDS = 5
QUIET = timedelta(seconds=30)  # a worker that waits asks every two seconds
_EXECUTORS = {
    "local": "Processes of this machine",
    "ray": "A Ray cluster",
    "none": "None: workers attach themselves",
}


def view_workers(found: Workforce, *, address: str) -> WorkersPage:
    """Return the page of those who work; `address` is where a worker finds this server."""
    return WorkersPage(
        title="Workers",
        refresh_seconds=REFRESH_SECONDS,
        stream=urls.live_jobs(),
        executor=contexts.rows(*_executor(found.executor)),
        executor_name=_EXECUTORS.get(found.executor.name, found.executor.name),
        missing=found.executor.missing or "",
        is_off=found.executor.name == "none",
        cards=tuple(_card(worker, now=found.now) for worker in found.workers),
        command=f"peftwise worker --url {address} --name gpu-box-1",
    )


def _executor(executor: Executor) -> list[tuple[str, str]]:
    if executor.name == "none":
        return []
    return [
        ("Could start now", f"{executor.free:,} of {executor.parallel_runs:,}"),
        ("Devices a job", f"{executor.devices_per_run:,}"),
    ]


def _card(worker: Worker, *, now: datetime) -> WorkerCard:
    state, kind = _state(worker, now=now)
    ends = ", ".join(
        f"{count:,} {name.replace('_', ' ')}" for name, count in sorted(worker.ends.items())
    )
    return WorkerCard(
        name=worker.name,
        kind=_kind(worker),
        state=state,
        state_kind=kind,
        figures=contexts.rows(
            ("Last seen", ago(worker.heard_at, now=now)),
            ("Device", "" if worker.device is None else worker.device.name),
            ("Claimed in a day", f"{worker.started:,}"),
            ("Ended in a day", ends or "none"),
        ),
        running=tuple(_running(one, now=now) for one in worker.running),
    )


def _kind(worker: Worker) -> str:
    if worker.is_attached:
        return "attached itself"
    return "the executor of this server" if worker.is_here else "the executor of a server"


def _state(worker: Worker, *, now: datetime) -> tuple[str, str]:
    if worker.running:
        is_late = any(now > one.lease_ends_at for one in worker.running)
        return ("not heard of", "bad") if is_late else ("running", "running")
    is_near = worker.heard_at is not None and now - worker.heard_at <= QUIET
    return ("waiting for jobs", "good") if is_near and worker.is_attached else ("idle", "waiting")


def _running(one: Try, *, now: datetime) -> RunningLine:
    return RunningLine(
        job=one.job_id,
        link=urls.job(one.job_id),
        model=one.base_model,
        percent=int(100 * one.progress),
        attempt=f"{one.generation:,}",
        since=wording.duration(max(0.0, (now - one.created_at).total_seconds())),
        heard=ago(one.heard_at, now=now) if one.is_claimed else "not claimed yet",
        lease=ahead(one.lease_ends_at, now=now),
        is_late=now > one.lease_ends_at,
    )
