"""From jobs to what their pages show."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from service import wording
from service.jobs.records import Job, JobEvent, JobPage
from service.jobs.schemas import estimated_finish
from service.jobs.states import FINAL, MOVES, Move
from service.pages import contexts, urls
from service.pages.answer_view import configuration_group
from service.pages.run_view import STATE_KINDS, loss_chart, state_words

REFRESH_SECONDS = 2
ACTIONS: Mapping[Move, str] = {
    "pause": "Pause",
    "resume": "Resume",
    "cancel": "Cancel the job",
}


def view_jobs(page: JobPage) -> contexts.JobsPage:
    """Return the list of jobs."""
    return contexts.JobsPage(
        title="Jobs",
        lines=tuple(_line(job) for job in page.jobs),
        next_link=urls.jobs(after=page.jobs[-1].id) if page.has_more else "",
    )


def view_job(
    job: Job, events: Sequence[JobEvent], *, now: datetime, is_recorded: bool
) -> contexts.JobPage:
    """Return the page of one job.

    Args:
        job: As it stands, with its curve.
        events: Newest first, as the page shows them.
        now: For the time that is left.
        is_recorded: Whether its run is in the history, which follows a moment after its end.
    """
    is_over = job.state in FINAL
    waits = not is_over or (job.run_id is not None and not is_recorded)
    return contexts.JobPage(
        title=f"{job.order.model.id} on {job.order.dataset.name}",
        id=job.id,
        link=urls.job(job.id),
        sentence=wording.capitalised(wording.sentence(job.order.configuration)),
        state=state_words(job.state),
        state_kind=STATE_KINDS[job.state],
        status=_status(job, now=now),
        percent=_percent(job),
        refresh_seconds=REFRESH_SECONDS if waits else 0,
        actions=tuple(
            contexts.Row(name=label, value=urls.move_job(job.id, move))
            for move, label in ACTIONS.items()
            if (job.state, move) in MOVES
        ),
        run_link=urls.run(job.run_id) if is_recorded and job.run_id else "",
        reason=job.reason,
        figures=contexts.rows(*_figures(job, now=now)),
        chart=loss_chart(job.curve),
        events=tuple(_event(event) for event in events),
        groups=(configuration_group(job.order.configuration),),
        json_link=urls.job_json(job.id),
    )


def _line(job: Job) -> contexts.JobLine:
    return contexts.JobLine(
        id=job.id,
        link=urls.job(job.id),
        model=f"{job.order.model.id} on {job.order.dataset.name}",
        method=wording.capitalised(wording.sentence(job.order.configuration)),
        state=state_words(job.state),
        state_kind=STATE_KINDS[job.state],
        percent=_percent(job),
        created=wording.date(job.created_at),
        created_iso=job.created_at.isoformat(),
    )


def _status(job: Job, *, now: datetime) -> str:
    if job.state == "queued":
        return "waiting for a worker" if not job.retries else "waiting to be tried again"
    if job.state == "paused":
        return f"at {_percent(job)} %"
    if job.state in FINAL:
        return "" if job.finished_at is None else wording.date(job.finished_at)
    step = max((m.step for m in job.curve), default=0)
    finish = estimated_finish(job, now=now)
    parts = [f"{_percent(job)} %"]
    if step:
        parts.append(f"step {step:,}")
    if finish is not None:
        left = max(0.0, (finish - now).total_seconds())
        parts.append(f"about {wording.duration(left)} left")
    return ", ".join(parts)


def _figures(job: Job, *, now: datetime) -> list[tuple[str, str]]:
    forecast = job.order.forecast_seconds
    elapsed = ""
    if job.started_at is not None:
        elapsed = wording.duration(((job.finished_at or now) - job.started_at).total_seconds())
    losses = [m for m in job.curve if m.split == "validation" and m.name.endswith("loss")]
    newest = max(losses, key=lambda m: m.step) if losses else None
    return [
        ("Validation loss", "" if newest is None else wording.decimal(newest.value, 3)),
        ("Elapsed", elapsed),
        ("Training forecast", "" if forecast is None else wording.duration(forecast)),
        ("Trained tokens", wording.quantity(job.trained_tokens) if job.trained_tokens else ""),
        ("Result for", wording.loader(job.order.serve_with)),
    ]


def _event(event: JobEvent) -> contexts.EventLine:
    return contexts.EventLine(
        time=f"{event.created_at.astimezone():%H:%M:%S}",
        time_iso=event.created_at.isoformat(),
        message=event.message,
        is_problem=event.level == "error",
    )


def _percent(job: Job) -> int:
    return 100 if job.state == "succeeded" else int(100 * job.progress)
