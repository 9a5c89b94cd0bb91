"""What the queue promises, in plain Python: what each call returns, refuses and changes.

It knows no database, and its moves, waits and ranks are written out again, apart from the
service's own. `shown` is what the tables of a queue must hold after the same calls.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from metadata.errors import Conflict, InvalidRequest, NotFound, OverQuota, Unauthorized

LEASE, OFFER = timedelta(seconds=60), timedelta(seconds=120)
WAITS = [timedelta(seconds=seconds) for seconds in (10, 60, 300)]
LIVE_JOBS = 3  # of a caller
DAY = timedelta(hours=24)
LIVE = {"queued", "running", "paused"}


@dataclass(eq=False)
class ModelAttempt:
    """A try at a job; the queue itself makes its id, code and token."""

    job: "ModelJob"
    number: int
    lease_ends: datetime
    state: str = "offered"
    id: str = ""
    code: str = ""
    token: str = ""
    outcome: str | None = None
    last_report: int = 0
    is_recorded: bool = False
    curve: dict[int, float] = field(default_factory=dict)


@dataclass(eq=False)
class ModelJob:
    """A job and its attempts, the newest last."""

    owner: str
    priority: int
    created_at: datetime
    id: str = ""
    state: str = "queued"
    is_deleted: bool = False
    events: int = 1
    retries: int = 0
    not_before: datetime | None = None
    progress: float = 0.0
    error: str | None = None
    run_id: str | None = None
    checkpoints: dict[str, int] = field(default_factory=dict)  # steps by name
    attempts: list[ModelAttempt] = field(default_factory=list)

    @property
    def alive(self) -> list[ModelAttempt]:
        """Return its attempts that have not ended: one at most."""
        return [attempt for attempt in self.attempts if attempt.state != "ended"]

    def end(self, state: str, *, error: str | None = None) -> None:
        """End what tries it, and put it into another state, with an event."""
        for attempt in self.alive:
            attempt.state = "ended"
        self.state, self.error = state, error
        self.events += 1


class QueueModel:
    """All jobs; a call that must be refused raises the class of the refusal, and does nothing."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.jobs: list[ModelJob] = []
        self.keys: dict[tuple[str, str], tuple[str, ModelJob, datetime]] = {}
        self.runs: dict[str, str] = {}  # jobs by run

    def submit(self, owner: str, priority: int, key: str | None, body: str) -> ModelJob:
        fresh = {k: kept for k, kept in self.keys.items() if kept[2] >= self._now() - DAY}
        if key is not None and (owner, key) in fresh:
            before, job, _ = fresh[owner, key]
            if before != body:
                raise InvalidRequest(key)
            if job.is_deleted:
                raise Conflict(key)
            self.keys = fresh
            return job
        if sum(job.owner == owner and job.state in LIVE for job in self.jobs) >= LIVE_JOBS:
            raise OverQuota(owner)
        job = ModelJob(owner, priority, self._now())
        self.jobs.append(job)
        if key is not None:
            self.keys = fresh | {(owner, key): (body, job, self._now())}
        return job

    def offer(self) -> ModelAttempt | None:
        waiting = [
            job
            for job in self.jobs
            if job.state == "queued"
            and not job.alive
            and (job.not_before is None or job.not_before <= self._now())
        ]
        if not waiting:
            return None
        job = min(waiting, key=lambda job: (-job.priority, job.created_at, job.id))
        attempt = ModelAttempt(job, len(job.attempts) + 1, self._now() + OFFER)
        job.attempts.append(attempt)
        return attempt

    def claim(self, attempt: ModelAttempt, code: str) -> None:
        job = attempt.job
        if code != attempt.code or attempt.state != "offered" or job.state != "queued":
            raise Unauthorized(code)
        attempt.state, attempt.lease_ends = "running", self._now() + LEASE
        job.state, job.progress = "running", max(job.checkpoints.values(), default=0) / 100
        job.events += 1

    def renew(self, attempt: ModelAttempt, token: str) -> str:
        """Return why it must stop, nothing where it may go on."""
        self._check_token(attempt, token)
        if attempt.job.state == "cancelled":
            return "cancelled"
        self._check_alive(attempt)
        attempt.lease_ends = self._now() + LEASE
        return "paused" if attempt.job.state in {"paused", "queued"} else ""

    def look(self, attempt: ModelAttempt, token: str) -> str:
        """Return the id of the job that an attempt holds."""
        self._check_token(attempt, token)
        self._check_alive(attempt)
        return attempt.job.id

    def report(
        self, attempt: ModelAttempt, token: str, number: int, step: int, name: str | None
    ) -> None:
        """Tell a point at a step, and a checkpoint where it has a name."""
        self.look(attempt, token)
        if number <= attempt.last_report:
            return
        job = attempt.job
        if name is not None and job.checkpoints.get(name, step) != step:
            raise InvalidRequest(name)
        if name is not None:
            if step > max(job.checkpoints.values(), default=-1):
                job.retries = 0
            job.checkpoints[name] = step
        attempt.last_report, attempt.curve[step] = number, number
        job.progress = step / 100
        job.events += 1

    def finish(self, attempt: ModelAttempt, token: str, state: str, *, has_run: bool) -> None:
        self._check_token(attempt, token)
        if attempt.outcome is not None:
            return
        self._check_alive(attempt)
        job, attempt.outcome = attempt.job, state
        job.events += job.state == "queued"  # it had gone on through a pause and a resumption
        job.run_id = attempt.id.replace("attempt", "run") if has_run else None
        if state == "succeeded":
            job.progress = 1.0
            job.end("succeeded")
        else:
            job.end("failed", error=state)

    def release(self, attempt: ModelAttempt, token: str, *, is_loss: bool) -> None:
        self._check_token(attempt, token)
        if attempt.state == "ended" and attempt.outcome is None:
            return
        self._check_alive(attempt)
        self._give_back(attempt.job, is_loss=is_loss)

    def lose(self, attempt: ModelAttempt, *, is_loss: bool) -> bool:
        if attempt.job.is_deleted or attempt.state == "ended":
            return False
        self._give_back(attempt.job, is_loss=is_loss)
        return True

    def fail(self, attempt: ModelAttempt) -> bool:
        if attempt.job.is_deleted or attempt.state == "ended":
            return False
        attempt.job.end("failed", error="worker_missing")
        return True

    def expired(self) -> list[ModelAttempt]:
        """Return the attempts whose lease has run out."""
        return [a for job in self.jobs for a in job.alive if a.lease_ends < self._now()]

    def ended(self) -> list[ModelAttempt]:
        """Return the attempts that have an outcome."""
        return [a for job in self.jobs for a in job.attempts if a.outcome is not None]

    def pause(self, job: ModelJob) -> None:
        self._move(job, {"queued", "running"}, "paused")

    def resume(self, job: ModelJob) -> None:
        self._move(job, {"paused"}, "queued")
        job.retries, job.not_before = 0, None

    def cancel(self, job: ModelJob) -> None:
        self._move(job, LIVE, "cancelled")
        for attempt in job.alive:
            attempt.state = "ended"

    def delete(self, job: ModelJob) -> set[str]:
        """Return the ids of the attempts that are forgotten."""
        self._check_there(job)
        if job.state in LIVE or any(a.outcome and not a.is_recorded for a in job.attempts):
            raise Conflict(job.state)
        job.is_deleted = True
        self.jobs.remove(job)
        return {attempt.id for attempt in job.attempts}

    def record(self, attempt: ModelAttempt) -> bool:
        job = attempt.job
        if job.is_deleted or attempt.outcome is None:
            return False
        attempt.is_recorded = True
        is_new = job.run_id is not None and job.run_id not in self.runs
        if job.run_id is not None:
            self.runs[job.run_id] = job.id
        return is_new

    def catch_up(self) -> int:
        return sum(self.record(attempt) for attempt in self.ended() if not attempt.is_recorded)

    def shown(self) -> dict[str, Any]:
        """Return what the tables must hold."""
        return {
            "jobs": {job.id: _job_shown(job) for job in self.jobs},
            "attempts": {a.id: _attempt_shown(a) for job in self.jobs for a in job.attempts},
            "keys": {key: job.id for key, (_, job, _) in self.keys.items()},
            "runs": self.runs,
        }

    def _give_back(self, job: ModelJob, *, is_loss: bool) -> None:
        if job.state == "paused":
            job.end("paused")
        elif is_loss and job.retries == len(WAITS):
            job.end("failed", error="infrastructure")
        else:
            job.end("queued")
            if is_loss:
                job.not_before = self._now() + WAITS[job.retries]
                job.retries += 1

    def _move(self, job: ModelJob, old: set[str], new: str) -> None:
        self._check_there(job)
        if job.state not in old:
            raise Conflict(job.state)
        job.state = new
        job.events += 1

    def _check_there(self, job: ModelJob) -> None:
        if job.is_deleted:
            raise NotFound(job.id)

    def _check_token(self, attempt: ModelAttempt, token: str) -> None:
        if attempt.job.is_deleted or not attempt.token or attempt.token != token:
            raise Unauthorized(token)

    def _check_alive(self, attempt: ModelAttempt) -> None:
        if attempt.state == "ended":
            raise Conflict(attempt.id)


def _job_shown(job: ModelJob) -> dict[str, Any]:
    return {
        "state": job.state,
        "retries": job.retries,
        "not_before": job.not_before,
        "generation": len(job.attempts),
        "progress": job.progress,
        "error_code": job.error,
        "run_id": job.run_id,
        "checkpoint_step": max(job.checkpoints.values(), default=None),
        "checkpoints": job.checkpoints,
        "events": list(range(1, job.events + 1)),
    }


def _attempt_shown(attempt: ModelAttempt) -> dict[str, Any]:
    return {
        "job_id": attempt.job.id,
        "generation": attempt.number,
        "state": attempt.state,
        "lease_expires_at": attempt.lease_ends,
        "outcome": attempt.outcome,
        "last_batch": attempt.last_report,
        "is_recorded": attempt.is_recorded,
        "curve": attempt.curve,
    }
