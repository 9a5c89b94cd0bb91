"""From jobs to what their pages show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from metadata.records import Run
from service import wording
from service.jobs.records import EventPage, Job, JobEvent, JobPage
from service.jobs.schemas import estimated_finish
from service.jobs.states import FINAL, JOB_STATES, MOVES, Move
from service.jobs.workers import PREFIX
from service.live.positions import Position
from service.pages import contexts, job_contexts, urls
from service.pages.answer_view import configuration_group
from service.pages.job_forecasts import forecast_lines
from service.pages.moments import ago, clock
from service.pages.run_columns import STATE_KINDS, state_words
from service.pages.run_view import loss_chart
from service.recommender.schemas import RecommendedConfiguration
from service.workers.tries import Try

REFRESH_SECONDS = 5  # for what no stream tells of, such as how long it has run
SOON_SECONDS = 2  # while the run of a job that has ended is on its way to the history
ACTIONS: Mapping[Move, str] = {
    "pause": "Pause",
    "resume": "Resume",
    "cancel": "Cancel the job",
}


@dataclass(frozen=True, kw_only=True)
class JobSeen:
    """All that a job's page looks at.

    Attributes:
        events: Its newest.
        run: What it has left in the history, which follows a moment after its end.
        recommended: The rank of a recommendation that it was ordered from.
        log: The end of what it printed, and whether something older is not there.
        log_bytes: Of its newest attempt.
    """

    job: Job
    events: EventPage
    tries: Sequence[Try]
    run: Run | None
    recommended: RecommendedConfiguration | None
    log: tuple[str, bool]
    log_bytes: int
    now: datetime


def view_jobs(page: JobPage, *, state: str, is_first: bool) -> job_contexts.JobsPage:
    """Return the list of jobs."""
    return job_contexts.JobsPage(
        title="Jobs",
        choices=tuple(
            job_contexts.Choice(
                title=state_words(one) if one else "all",
                link=urls.jobs(state=one),
                is_current=one == state,
            )
            for one in ("", *JOB_STATES)
        ),
        lines=tuple(_line(job) for job in page.jobs),
        is_filtered=bool(state),
        first_link="" if is_first else urls.jobs(state=state),
        next_link=urls.jobs(after=page.jobs[-1].id, state=state) if page.has_more else "",
        stream=urls.live_jobs(),
    )


def view_job(seen: JobSeen) -> job_contexts.JobPage:
    """Return the page of one job."""
    job, now = seen.job, seen.now
    is_recorded = job.run_id is None or seen.run is not None
    after_end = 0 if is_recorded else SOON_SECONDS
    return job_contexts.JobPage(
        title=f"{job.order.model.id} on {job.order.dataset.name}",
        id=job.id,
        link=urls.job(job.id),
        sentence=wording.capitalised(wording.sentence(job.order.configuration)),
        state=state_words(job.state),
        state_kind=STATE_KINDS[job.state],
        status=_status(job, now=now),
        percent=_percent(job),
        refresh_seconds=after_end if job.state in FINAL else REFRESH_SECONDS,
        stream=urls.live_job(job.id, after=str(_position(seen))),
        actions=tuple(
            contexts.Row(name=label, value=urls.move_job(job.id, move))
            for move, label in ACTIONS.items()
            if (job.state, move) in MOVES
        ),
        run_link="" if seen.run is None else urls.run(seen.run.id),
        reason=job.reason,
        figures=contexts.rows(*_figures(job, now=now)),
        chart=loss_chart(job.curve),
        forecasts=forecast_lines(job, seen.recommended, seen.run, now=now),
        attempts=tuple(_attempt(one, now=now) for one in seen.tries),
        events=tuple(_event(event) for event in seen.events.events),
        events_note="Older events are in the JSON." if seen.events.has_more else "",
        log=_log(seen),
        groups=(configuration_group(job.order.configuration),),
        json_link=urls.job_json(job.id),
    )


def _position(seen: JobSeen) -> Position:
    """Return what the page shows, so that its stream goes on from there."""
    newest = max((event.number for event in seen.events.events), default=0)
    place = Position(event=newest, attempt=seen.job.attempts, log=seen.log_bytes)
    return place.past_points(seen.job.curve)


def _line(job: Job) -> job_contexts.JobLine:
    return job_contexts.JobLine(
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
    elapsed = ""
    if job.started_at is not None:
        elapsed = wording.duration(((job.finished_at or now) - job.started_at).total_seconds())
    losses = [m for m in job.curve if m.split == "validation" and m.name.endswith("loss")]
    newest = max(losses, key=lambda m: m.step) if losses else None
    return [
        ("Validation loss", "" if newest is None else wording.decimal(newest.value, 3)),
        ("Elapsed", elapsed),
        ("Trained tokens", wording.quantity(job.trained_tokens) if job.trained_tokens else ""),
        ("Attempts", f"{job.attempts:,}" if job.attempts else ""),
        ("Newest checkpoint", f"step {job.checkpoint_step:,}" if job.checkpoint_step else ""),
        ("Result for", wording.loader(job.order.serve_with)),
    ]


def _attempt(one: Try, *, now: datetime) -> job_contexts.AttemptLine:
    if one.ended_at is None:
        state = "running" if one.is_claimed else "queued"
        heard = ago(one.heard_at, now=now) if one.is_claimed else "not claimed yet"
    else:
        state = one.outcome or "ended"
        heard = clock(one.ended_at)
    return job_contexts.AttemptLine(
        number=f"{one.generation:,}",
        by=one.started_by.removeprefix(PREFIX),
        started=clock(one.created_at),
        started_iso=one.created_at.isoformat(),
        heard=heard,
        state="gave the job back" if state == "ended" else state_words(state),
        state_kind=STATE_KINDS.get(state, "waiting"),
        device=wording.DASH if one.device is None else one.device.name,
    )


def _event(event: JobEvent) -> job_contexts.EventLine:
    return job_contexts.EventLine(
        time=clock(event.created_at),
        time_iso=event.created_at.isoformat(),
        message=event.message,
        is_problem=event.level == "error",
    )


def _log(seen: JobSeen) -> job_contexts.Log:
    text, is_cut = seen.log
    return job_contexts.Log(
        text=text,
        note="The end of it." if is_cut else "",
        link=urls.job_log(seen.job.id),
    )


def _percent(job: Job) -> int:
    return 100 if job.state == "succeeded" else int(100 * job.progress)
