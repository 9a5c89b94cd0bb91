"""What becomes of jobs whose attempts end without a result."""

from typing import Any

import pytest
from sqlalchemy import Engine, text

from metadata.messages import Outcome, Release, Report, SavedCheckpoint
from metadata.records import Device
from service.jobs.attempts import Attempts, Held
from service.jobs.losses import Losses
from service.jobs.queue import Queue


def take(attempts: Attempts) -> Held:
    offer = attempts.offer()
    assert offer is not None
    return attempts.claim(offer.code)


@pytest.fixture
def held(queue: Queue, attempts: Attempts, make_order: Any) -> Held:
    """Return a claimed attempt."""
    queue.submit(make_order())
    return take(attempts)


def test_a_lost_job_is_tried_again_after_longer_and_longer_waits_and_fails_at_last(
    queue: Queue, attempts: Attempts, losses: Losses, held: Held, clock: Any, lease_seconds: float
) -> None:
    for retries, leases in enumerate((1 / 6, 1.0, 5.0), start=1):
        assert losses.lose(held.attempt_id, reason="Killed.")
        job = queue.get(held.job.id)
        assert (job.state, job.retries) == ("queued", retries)
        clock.pass_seconds(leases * lease_seconds - 0.5)
        assert attempts.offer() is None
        clock.pass_seconds(1)
        held = take(attempts)
        assert held.generation == retries + 1
    losses.lose(held.attempt_id, reason="Killed.")

    job = queue.get(held.job.id)
    assert (job.state, job.error_code, job.run_id) == ("failed", "infrastructure", None)
    assert "tried again 3 times in a row without a newer checkpoint" in job.reason


def test_a_newer_checkpoint_makes_the_retries_count_anew(
    queue: Queue, attempts: Attempts, losses: Losses, held: Held, clock: Any
) -> None:
    for number, (step, retries) in enumerate([(10, 1), (10, 2), (20, 1)]):
        saved = SavedCheckpoint(name=f"{step}-{number}", step=step, size_bytes=9, progress=0.25)
        report = Report(number=1, checkpoints=(saved,), progress=0.4)
        attempts.report(held.attempt_id, held.token, report)
        losses.lose(held.attempt_id, reason="Killed.")
        assert queue.get(held.job.id).retries == retries
        clock.pass_seconds(10_000)
        held = take(attempts)

    job = queue.get(held.job.id)
    assert (job.checkpoint_step, job.start_progress, job.progress) == (20, 0.25, 0.25)


def test_a_report_told_again_counts_once(queue: Queue, attempts: Attempts, held: Held) -> None:
    notice = {"message": "Resumed from step 4."}
    report = Report.model_validate({"number": 1, "notices": [notice]})

    for _ in range(3):
        attempts.report(held.attempt_id, held.token, report)

    told = [event.message for event in queue.events(held.job.id).events]
    assert told.count("Resumed from step 4.") == 1


def test_a_lost_attempt_is_lost_once(losses: Losses, held: Held) -> None:
    assert losses.lose(held.attempt_id, reason="Killed.")
    assert not losses.lose(held.attempt_id, reason="Again.")
    assert losses.alive() == frozenset()


def test_a_worker_that_must_stop_costs_no_try_and_the_job_waits_not(
    queue: Queue, attempts: Attempts, held: Held
) -> None:
    attempts.release(held.attempt_id, held.token, Release(reason="Asked to stop."))

    assert queue.get(held.job.id).retries == 0
    assert take(attempts).job.id == held.job.id


def test_a_trainer_that_was_killed_costs_a_try(
    queue: Queue, attempts: Attempts, held: Held
) -> None:
    release = Release(reason="The trainer was killed.", is_loss=True)
    attempts.release(held.attempt_id, held.token, release)

    assert queue.get(held.job.id).retries == 1
    assert attempts.offer() is None


def test_a_paused_job_that_is_lost_rests_on(
    queue: Queue, attempts: Attempts, losses: Losses, held: Held
) -> None:
    queue.pause(held.job.id)
    losses.lose(held.attempt_id, reason="Killed.")

    job = queue.get(held.job.id)
    assert (job.state, job.retries) == ("paused", 0)


def test_a_job_resumed_before_its_attempt_stopped_waits_for_it(
    queue: Queue, attempts: Attempts, held: Held
) -> None:
    queue.pause(held.job.id)
    queue.resume(held.job.id)

    assert attempts.offer() is None
    assert attempts.renew(held.attempt_id, held.token).because == "paused"
    attempts.release(held.attempt_id, held.token, Release(reason="Paused."))
    assert take(attempts).generation == 2


@pytest.mark.parametrize("resumed", [False, True])
def test_a_run_that_ends_while_its_job_is_paused_counts(
    queue: Queue, attempts: Attempts, held: Held, device: Device, resumed: bool
) -> None:
    queue.pause(held.job.id)
    if resumed:
        queue.resume(held.job.id)

    outcome = Outcome(state="diverged", reason="NaN.")
    attempts.finish(held.attempt_id, held.token, outcome, device)

    assert queue.get(held.job.id).state == "failed"


def test_events_are_numbered_without_gaps(
    queue: Queue, attempts: Attempts, losses: Losses, held: Held, engine: Engine
) -> None:
    losses.lose(held.attempt_id, reason="Killed.")
    queue.pause(held.job.id)
    queue.resume(held.job.id)
    queue.cancel(held.job.id)

    with engine.connect() as connection:
        numbers = connection.execute(text("SELECT number FROM job_events ORDER BY number"))
        assert list(numbers.scalars()) == [1, 2, 3, 4, 5, 6]
