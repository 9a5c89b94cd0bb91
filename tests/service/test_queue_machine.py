"""Random calls of the queue beside a model of its promises, on both databases.

After each call the tables hold what the model says, the doctor finds nothing, and a call that
was refused has changed no row.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from queue_model import LEASE, LIVE_JOBS, ModelAttempt, ModelJob, QueueModel
from queue_rows import empty, rows_of, shown
from sqlalchemy import Engine

from metadata.errors import PeftwiseError
from metadata.history import History
from metadata.messages import Outcome, Release, Report, SavedCheckpoint
from metadata.records import Costs, Device, Measurement, Scores
from service.doctor.examine import promises
from service.jobs.attempts import Attempts
from service.jobs.idempotency import key_of
from service.jobs.losses import Losses
from service.jobs.queue import Queue
from service.jobs.recording import Recorder
from service.jobs.timing import Timing

TIMING = Timing(LEASE.total_seconds())
COSTS = Costs.model_validate(dict.fromkeys(Costs.model_fields, 1) | {"joules": None})
SCORES = Scores(base_loss=3.0, best_loss=2.0, last_loss=2.5)
OUTCOMES = {
    "succeeded": Outcome(state="succeeded", scores=SCORES, costs=COSTS),
    "diverged": Outcome(state="diverged", reason="The loss was NaN.", costs=COSTS),
    "timed_out": Outcome(state="timed_out"),
    "failed": Outcome(state="failed", reason="The model cannot be loaded."),
}
HAVE_RUNS = {"succeeded", "diverged", "timed_out"}  # a model that never loaded says nothing
SECONDS = [1.0, 11.0, 61.0, 121.0, 301.0, 24 * 3600.0 + 1]
# What every form has to meet, else it says too little: calls that were done or refused.
MET = {
    *("submit", "offer", "claim", "renew", "report", "finish", "release", "lose", "expire"),
    *("pause", "resume", "cancel", "delete", "record"),
    *("submit: InvalidRequest", "claim: Unauthorized", "renew: Conflict"),
    *("report: Unauthorized", "resume: Conflict", "delete: Conflict"),
}
RARE = {
    *("catch_up", "fail", "report: Conflict", "report: InvalidRequest", "finish: Conflict"),
    *("submit: OverQuota", "submit: Conflict", "finish: Unauthorized", "release: Conflict"),
    *("cancel: Conflict", "cancel: NotFound"),
}
PHASES = [Phase.generate, Phase.shrink]  # explaining traces each line: four times as slow
MANY = 100  # examples that meet the rare ones too


class QueueMachine(RuleBasedStateMachine):
    """Callers, workers and whoever looks after them, all at one queue."""

    jobs = Bundle("jobs")
    attempts = Bundle("attempts")

    def __init__(
        self, engine: Engine, clock: Any, make_order: Any, device: Device, met: Counter[str]
    ) -> None:
        super().__init__()
        empty(engine)
        self.engine, self.clock, self.make_order, self.device = engine, clock, make_order, device
        self.met = met
        self.queue = Queue(engine, live_jobs=LIVE_JOBS, clock=clock)
        self.tries = Attempts(engine, timing=TIMING, clock=clock)
        self.losses = Losses(engine, timing=TIMING, clock=clock)
        self.told: list[str] = []
        self.recorder = Recorder(
            engine, History(engine), on_run=lambda run: self.told.append(run.id)
        )
        self.model = QueueModel(lambda: clock.now)
        self.rows = rows_of(engine)

    def both(self, name: str, expect: Callable[[], Any], call: Callable[[], Any]) -> Any:
        """Ask model and queue; return both answers, or nothing where both refuse alike."""
        try:
            expected = expect()
        except PeftwiseError as refusal:
            self.met[f"{name}: {type(refusal).__name__}"] += 1
            with pytest.raises(type(refusal)):
                call()
            assert rows_of(self.engine) == self.rows
            return None
        self.met[name] += 1
        return expected, call()

    def same(self, name: str, expect: Callable[[], Any], call: Callable[[], Any]) -> None:
        """Ask both, whose answers must be equal."""
        if (answers := self.both(name, expect, call)) is not None:
            assert answers[0] == answers[1]

    @rule(
        target=jobs,
        owner=st.sampled_from("ab"),
        priority=st.integers(0, 2),
        key=st.sampled_from([None, None, "k", "l"]),
        body=st.sampled_from("xxy"),
    )
    def submit(self, owner: str, priority: int, key: str | None, body: str) -> Any:
        order = self.make_order(owner=owner, priority=priority)
        order_key = key_of(owner, key, {"body": body})
        answers = self.both(
            "submit",
            lambda: self.model.submit(owner, priority, key, body),
            lambda: self.queue.submit(order, key=order_key),
        )
        if answers is None:
            return multiple()
        job, made = answers
        assert job.id in {"", made.id}
        is_known, job.id = bool(job.id), made.id
        return multiple() if is_known else job

    @rule(target=attempts)
    def offer(self) -> Any:
        attempt, made = self.both("offer", self.model.offer, self.tries.offer)
        if attempt is None:
            assert made is None
            return multiple()
        assert made.job_id == attempt.job.id
        attempt.id, attempt.code = made.attempt_id, made.code
        return attempt

    @rule(attempt=attempts, is_right=st.sampled_from([True, True, False]))
    def claim(self, attempt: ModelAttempt, is_right: bool) -> None:
        code = attempt.code if is_right else attempt.code[::-1]
        answers = self.both(
            "claim", lambda: self.model.claim(attempt, code), lambda: self.tries.claim(code)
        )
        if answers is not None:
            assert answers[1].generation == attempt.number
            assert answers[1].token.startswith(f"{attempt.number}.")
            attempt.token = answers[1].token

    @rule(target=attempts)
    def start(self) -> Any:
        attempt = self.offer()
        if isinstance(attempt, ModelAttempt):
            self.rows = rows_of(self.engine)
            self.claim(attempt, is_right=True)
        return attempt

    @rule(attempt=attempts)
    def renew(self, attempt: ModelAttempt) -> None:
        self.same(
            "renew",
            lambda: self.model.renew(attempt, attempt.token),
            lambda: self.tries.renew(attempt.id, attempt.token).because,
        )

    @rule(
        attempt=attempts,
        ahead=st.sampled_from([1, 1, 1, 2, 0, -1]),
        step=st.integers(0, 6),
        name=st.sampled_from([None, "right", "right", "5-1"]),
    )
    def report(self, attempt: ModelAttempt, ahead: int, step: int, name: str | None) -> None:
        number = max(1, attempt.last_report + ahead)
        name = f"{step}-{attempt.number}" if name == "right" else name
        self.same(
            "report",
            lambda: self.model.report(attempt, attempt.token, number, step, name),
            lambda: self.tries.report(
                attempt.id, attempt.token, report_of(number, step, name=name)
            ),
        )

    @rule(attempt=attempts, state=st.sampled_from(sorted(OUTCOMES)))
    def finish(self, attempt: ModelAttempt, state: str) -> None:
        self.same(
            "finish",
            lambda: self.model.finish(attempt, attempt.token, state, has_run=state in HAVE_RUNS),
            lambda: self.tries.finish(attempt.id, attempt.token, OUTCOMES[state], self.device),
        )

    @rule(attempt=attempts, is_loss=st.booleans())
    def release(self, attempt: ModelAttempt, is_loss: bool) -> None:
        said = Release(reason="It must stop.", is_loss=is_loss)
        self.same(
            "release",
            lambda: self.model.release(attempt, attempt.token, is_loss=is_loss),
            lambda: self.tries.release(attempt.id, attempt.token, said),
        )

    @rule(
        attempt=attempts,
        other=attempts,
        act=st.sampled_from(["renew", "report", "finish", "release", "look"]),
    )
    def act_with_the_token_of_another(
        self, attempt: ModelAttempt, other: ModelAttempt, act: str
    ) -> None:
        token, said = other.token, Release(reason="It must stop.")
        model, tries = self.model, self.tries
        acts: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
            "renew": (
                lambda: model.renew(attempt, token),
                lambda: tries.renew(attempt.id, token).because,
            ),
            "report": (
                lambda: model.report(attempt, token, 99, 3, None),
                lambda: tries.report(attempt.id, token, report_of(99, 3)),
            ),
            "finish": (
                lambda: model.finish(attempt, token, "diverged", has_run=True),
                lambda: tries.finish(attempt.id, token, OUTCOMES["diverged"], self.device),
            ),
            "release": (
                lambda: model.release(attempt, token, is_loss=False),
                lambda: tries.release(attempt.id, token, said),
            ),
            "look": (
                lambda: model.look(attempt, token),
                lambda: tries.check_holder(attempt.id, token),
            ),
        }
        self.same(act, *acts[act])

    @rule(attempt=attempts, is_loss=st.booleans())
    def lose(self, attempt: ModelAttempt, is_loss: bool) -> None:
        self.same(
            "lose",
            lambda: self.model.lose(attempt, is_loss=is_loss),
            lambda: self.losses.lose(attempt.id, reason="It was killed.", is_loss=is_loss),
        )

    @rule(attempt=attempts)
    def fail(self, attempt: ModelAttempt) -> None:
        self.same(
            "fail",
            lambda: self.model.fail(attempt),
            lambda: self.losses.fail(attempt.id, reason="No torch.", code="worker_missing"),
        )

    @precondition(lambda self: self.model.expired())
    @rule()
    def expire(self) -> None:
        expired = {attempt.id: attempt for attempt in self.model.expired()}
        assert set(self.losses.expired()) == set(expired)
        for attempt_id, attempt in expired.items():
            self.same(
                "expire",
                partial(self.model.lose, attempt, is_loss=True),
                partial(self.losses.expire, attempt_id),
            )

    @precondition(lambda self: self.model.jobs)
    @rule(seconds=st.sampled_from(SECONDS))
    def let_time_pass(self, seconds: float) -> None:
        self.clock.pass_seconds(seconds)
        overdue = [a for a in self.model.expired() if a.lease_ends < self.clock.now - 2 * LEASE]
        if overdue:  # a server sees them within seconds
            self.expire()

    @rule(job=jobs)
    def pause(self, job: ModelJob) -> None:
        self.both("pause", lambda: self.model.pause(job), lambda: self.queue.pause(job.id))

    @rule(job=jobs)
    def resume(self, job: ModelJob) -> None:
        self.both("resume", lambda: self.model.resume(job), lambda: self.queue.resume(job.id))

    @rule(job=jobs)
    def cancel(self, job: ModelJob) -> None:
        self.both("cancel", lambda: self.model.cancel(job), lambda: self.queue.cancel(job.id))

    @rule(job=jobs)
    def delete(self, job: ModelJob) -> None:
        self.same(
            "delete",
            lambda: self.model.delete(job),
            lambda: set(self.queue.delete(job.id)),
        )

    @rule(attempt=attempts)
    def record(self, attempt: ModelAttempt) -> None:
        self.same(
            "record",
            lambda: self.model.record(attempt),
            lambda: self.recorder.record(attempt.id),
        )

    @precondition(lambda self: self.model.ended())
    @rule()
    def catch_up(self) -> None:
        self.same("catch_up", self.model.catch_up, self.recorder.catch_up)

    @invariant()
    def all_is_as_promised(self) -> None:
        self.rows = rows_of(self.engine)
        assert shown(self.rows) == self.model.shown()
        assert self.told == list(self.model.runs)
        assert len(set(self.model.runs.values())) == len(self.model.runs)

        found = promises(self.engine, TIMING, clock=self.clock)
        assert [line for line in found if not line.is_well] == []


def report_of(number: int, step: int, *, name: str | None = None) -> Report:
    point = Measurement(name="loss", step=step, value=float(number), split="validation")
    saved = (
        ()
        if name is None
        else (SavedCheckpoint(name=name, step=step, size_bytes=1, progress=step / 100),)
    )
    return Report(number=number, measurements=(point,), checkpoints=saved, progress=step / 100)


@pytest.mark.parametrize("examples", [6, pytest.param(150, marks=pytest.mark.slow)])
def test_whatever_is_called_the_promises_hold(
    engine: Engine, clock: Any, make_order: Any, device: Device, examples: int
) -> None:
    met: Counter[str] = Counter()

    def machine() -> QueueMachine:
        return QueueMachine(engine, type(clock)(), make_order, device, met)

    run_state_machine_as_test(
        cast(Any, machine),  # it calls whatever it is given
        settings=settings(
            max_examples=examples,
            stateful_step_count=60,
            derandomize=True,
            deadline=None,
            database=None,
            phases=PHASES,
            suppress_health_check=list(HealthCheck),
        ),
    )

    assert (MET if examples < MANY else MET | RARE) - set(met) == set()
