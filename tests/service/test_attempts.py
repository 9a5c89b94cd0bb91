from typing import Any

import pytest
from sqlalchemy import Engine, text

from metadata.errors import Conflict, InvalidRequest, Unauthorized
from metadata.messages import Outcome, Report
from metadata.records import Costs, Device, Measurement, Scores
from service.jobs.attempts import Attempts, Held
from service.jobs.losses import Losses
from service.jobs.queue import Queue

COSTS = Costs(
    train_seconds=2.0,
    eval_seconds=1.0,
    train_cpu_seconds=2.0,
    eval_cpu_seconds=1.0,
    peak_tensor_bytes=10**6,
    peak_device_bytes=10**7,
    trained_tokens=900,
    steps=30,
    trainable_parameters=1000,
)
SUCCESS = Outcome(
    state="succeeded", scores=Scores(base_loss=3.0, best_loss=2.0, last_loss=2.5), costs=COSTS
)
FAILURE = Outcome(state="diverged", reason="The training loss was NaN at step 3.", costs=COSTS)


def loss(step: int, value: float, split: str = "validation") -> Measurement:
    return Measurement.model_validate(
        {"name": "loss", "step": step, "value": value, "split": split}
    )


@pytest.fixture
def held(queue: Queue, attempts: Attempts, make_order: Any) -> Held:
    """Return a claimed attempt."""
    queue.submit(make_order())
    offer = attempts.offer()
    assert offer is not None
    return attempts.claim(offer.code)


def test_the_job_that_waits_longest_is_offered_first_and_once(
    queue: Queue, attempts: Attempts, make_order: Any, clock: Any
) -> None:
    first = queue.submit(make_order())
    clock.pass_seconds(1)
    second = queue.submit(make_order())

    offers = [attempts.offer(), attempts.offer(), attempts.offer()]

    assert [offer and offer.job_id for offer in offers] == [first.id, second.id, None]


def test_a_cancelled_job_is_not_offered(queue: Queue, attempts: Attempts, make_order: Any) -> None:
    queue.cancel(queue.submit(make_order()).id)

    assert attempts.offer() is None


def test_a_claim_starts_the_job(queue: Queue, held: Held, clock: Any) -> None:
    job = queue.get(held.job.id)

    assert (job.state, job.started_at) == ("running", clock.now)
    assert held.token.startswith("1.")


def test_a_code_works_once(queue: Queue, attempts: Attempts, make_order: Any) -> None:
    queue.submit(make_order())
    offer = attempts.offer()
    assert offer is not None
    attempts.claim(offer.code)

    with pytest.raises(Unauthorized, match="a code works once"):
        attempts.claim(offer.code)


def test_the_code_of_a_cancelled_job_is_worth_nothing(
    queue: Queue, attempts: Attempts, make_order: Any
) -> None:
    job = queue.submit(make_order())
    offer = attempts.offer()
    assert offer is not None
    queue.cancel(job.id)

    with pytest.raises(Unauthorized):
        attempts.claim(offer.code)


def test_neither_code_nor_token_is_stored(
    queue: Queue, attempts: Attempts, make_order: Any, engine: Engine
) -> None:
    queue.submit(make_order())
    offer = attempts.offer()
    assert offer is not None
    with engine.connect() as connection:
        offered = str(connection.execute(text("SELECT * FROM attempts")).all())
    token = attempts.claim(offer.code).token
    with engine.connect() as connection:
        claimed = str(connection.execute(text("SELECT * FROM attempts")).all())

    assert offer.code not in offered + claimed
    assert token not in claimed
    assert token.partition(".")[2] not in claimed


def test_a_renewal_keeps_the_lease(
    attempts: Attempts, losses: Losses, held: Held, clock: Any, lease_seconds: float
) -> None:
    clock.pass_seconds(lease_seconds - 1)
    assert attempts.renew(held.attempt_id, held.token).go_on
    clock.pass_seconds(lease_seconds - 1)
    assert losses.expired() == []
    assert not losses.expire(held.attempt_id)
    clock.pass_seconds(2)
    assert losses.expired() == [held.attempt_id]
    assert losses.expire(held.attempt_id)


@pytest.mark.parametrize("token", ["", "1.wrong", "2.wrong"])
def test_another_token_is_refused_everywhere(attempts: Attempts, held: Held, token: str) -> None:
    for act in (
        lambda: attempts.renew(held.attempt_id, token),
        lambda: attempts.report(held.attempt_id, token, Report(number=1)),
        lambda: attempts.file_of(held.attempt_id, token, validation=False),
    ):
        with pytest.raises(Unauthorized):
            act()
    with pytest.raises(Unauthorized):
        attempts.renew("attempt-unknown", held.token)


def test_an_offered_attempt_has_no_token_that_works(
    queue: Queue, attempts: Attempts, make_order: Any
) -> None:
    queue.submit(make_order())
    offer = attempts.offer()
    assert offer is not None

    with pytest.raises(Unauthorized):
        attempts.renew(offer.attempt_id, "")


def test_measurements_become_the_curve_and_progress(
    queue: Queue, attempts: Attempts, held: Held
) -> None:
    points = (loss(0, 3.0), loss(10, 2.0), loss(10, 1.9, "train"))
    batch = Report(number=1, measurements=points, trained_tokens=640, progress=0.5)

    attempts.report(held.attempt_id, held.token, batch)

    job = queue.get(held.job.id)
    assert set(job.curve) == set(points)
    assert [point.step for point in job.curve] == [0, 10, 10]
    assert (job.progress, job.trained_tokens) == (0.5, 640)
    newest = queue.events(held.job.id).events[0]
    assert (newest.kind, newest.message) == ("metrics", "Step 10: validation loss 2.")
    assert newest.data == {"step": 10, "loss": 2.0}


def test_a_point_reported_again_is_written_over(
    queue: Queue, attempts: Attempts, held: Held
) -> None:
    for number, value in enumerate((3.0, 2.5), start=1):
        points = (loss(5, 9.0, "train"), loss(5, value, "train"))
        batch = Report(number=number, measurements=points)
        attempts.report(held.attempt_id, held.token, batch)

    assert queue.get(held.job.id).curve == (loss(5, 2.5, "train"),)


def test_a_success_ends_the_job(
    queue: Queue, attempts: Attempts, held: Held, device: Device, clock: Any
) -> None:
    clock.pass_seconds(5)

    attempts.finish(held.attempt_id, held.token, SUCCESS, device)

    job = queue.get(held.job.id)
    assert (job.state, job.progress, job.finished_at) == ("succeeded", 1.0, clock.now)
    assert job.run_id == held.attempt_id.replace("attempt", "run")
    assert job.trained_tokens == COSTS.trained_tokens
    message = queue.events(held.job.id).events[0].message
    assert message.startswith("Succeeded: +1.0000 nats per token")


def test_a_failure_keeps_its_reason(
    queue: Queue, attempts: Attempts, held: Held, device: Device
) -> None:
    attempts.finish(held.attempt_id, held.token, FAILURE, device)

    job = queue.get(held.job.id)
    assert (job.state, job.error_code, job.reason) == ("failed", "diverged", FAILURE.reason)
    assert job.run_id is not None


def test_a_model_that_never_loaded_leaves_no_run(
    queue: Queue, attempts: Attempts, held: Held, device: Device
) -> None:
    outcome = Outcome(state="failed", reason="The model cannot be loaded.")

    attempts.finish(held.attempt_id, held.token, outcome, device)

    assert queue.get(held.job.id).run_id is None


def test_a_success_without_scores_is_refused(
    attempts: Attempts, held: Held, device: Device
) -> None:
    with pytest.raises(InvalidRequest, match="needs scores and costs"):
        attempts.finish(held.attempt_id, held.token, Outcome(state="succeeded"), device)


def test_of_two_reports_of_the_end_the_first_stands(
    queue: Queue, attempts: Attempts, held: Held, device: Device
) -> None:
    attempts.finish(held.attempt_id, held.token, SUCCESS, device)
    before = queue.get(held.job.id)

    attempts.finish(held.attempt_id, held.token, FAILURE, device)

    assert queue.get(held.job.id) == before


def test_the_worker_of_a_cancelled_job_is_told_to_stop_and_changes_nothing(
    queue: Queue, attempts: Attempts, held: Held, device: Device
) -> None:
    queue.cancel(held.job.id)

    assert attempts.renew(held.attempt_id, held.token).because == "cancelled"
    with pytest.raises(Conflict, match="nothing was changed"):
        attempts.finish(held.attempt_id, held.token, SUCCESS, device)
    assert queue.get(held.job.id).state == "cancelled"


def test_a_zombie_is_refused_and_changes_nothing(
    queue: Queue, attempts: Attempts, losses: Losses, held: Held, device: Device
) -> None:
    assert losses.lose(held.attempt_id, reason="The worker was lost.")
    before = queue.get(held.job.id)

    for act in (
        lambda: attempts.renew(held.attempt_id, held.token),
        lambda: attempts.report(
            held.attempt_id, held.token, Report(number=1, measurements=(loss(1, 1.0),))
        ),
        lambda: attempts.finish(held.attempt_id, held.token, SUCCESS, device),
        lambda: attempts.check_holder(held.attempt_id, held.token),
        lambda: attempts.file_of(held.attempt_id, held.token, validation=False),
    ):
        with pytest.raises(Conflict, match="does not hold its job any more"):
            act()
    assert queue.get(held.job.id) == before


def test_an_attempt_that_never_claimed_can_be_failed(
    queue: Queue, attempts: Attempts, losses: Losses, make_order: Any
) -> None:
    job = queue.submit(make_order())
    offer = attempts.offer()
    assert offer is not None

    losses.fail(offer.attempt_id, reason="No torch.", code="worker_missing")

    assert queue.get(job.id).state == "failed"
    with pytest.raises(Unauthorized):
        attempts.claim(offer.code)


def test_the_files_of_an_attempt_are_those_of_its_job(
    queue: Queue, attempts: Attempts, make_order: Any
) -> None:
    queue.submit(make_order(training_file="file-a", validation_file="file-b"))
    offer = attempts.offer()
    assert offer is not None
    held = attempts.claim(offer.code)

    files = [attempts.file_of(held.attempt_id, held.token, validation=v) for v in (False, True)]

    assert files == ["file-a", "file-b"]


def test_event_numbers_rise_by_one(
    queue: Queue, attempts: Attempts, held: Held, device: Device
) -> None:
    batch = Report(number=1, measurements=tuple(loss(step, 1.0) for step in range(4)))
    attempts.report(held.attempt_id, held.token, batch)
    attempts.finish(held.attempt_id, held.token, SUCCESS, device)

    numbers = [event.number for event in queue.events(held.job.id).events]

    assert numbers == list(range(7, 0, -1))
