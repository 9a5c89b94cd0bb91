"""The doctor on a real database: well as it is left by us, ill once raw SQL has been at it."""

from typing import Any

import pytest
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from metadata.history import History
from metadata.messages import Outcome, Report, SavedCheckpoint
from metadata.records import Device
from service.doctor.examine import promises
from service.jobs.attempts import Attempts
from service.jobs.queue import Queue
from service.jobs.recording import Recorder
from service.jobs.timing import Timing
from service.services import Services

DIVERGED = Outcome(state="diverged", reason="The loss was NaN.")
# What breaks a promise, by its number: raw SQL on jobs :cancelled, :running, :finished, :queued.
PLANTED = {
    1: "DELETE FROM job_events WHERE job_id = :queued AND number = 1",
    2: "UPDATE attempts SET outcome = '{}' WHERE job_id = :running",
    3: "UPDATE attempts SET generation = 7 WHERE job_id = :running",
    4: "UPDATE attempts SET lease_expires_at = '2020-01-01 00:00:00.000000' "
    "WHERE job_id = :running",
    5: "INSERT INTO attempt_measurements (attempt_id, split, name, step, value) "
    "SELECT id, 'train', 'loss', 1, 2.0 FROM attempts WHERE job_id = :offered",
    6: "UPDATE jobs SET checkpoint_step = 99 WHERE id = :running",
    7: "UPDATE jobs SET run_id = 'run-x' WHERE id = :cancelled",
    8: "UPDATE job_events SET number = 9 WHERE job_id = :cancelled AND number = 2",
    9: "UPDATE jobs SET retries = 4 WHERE id = :queued",
    10: 'UPDATE attempts SET outcome = \'{"state": "succeeded"}\' WHERE job_id = :finished',
}


@pytest.fixture
def jobs(
    engine: Engine, queue: Queue, attempts: Attempts, make_order: Any, device: Device
) -> dict[str, str]:
    """Return a job of each kind: ended, running, offered, cancelled, queued."""
    made = {"finished": queue.submit(make_order()).id}
    held = attempts.claim(_code(attempts))
    attempts.finish(held.attempt_id, held.token, DIVERGED, device)
    Recorder(engine, History(engine)).record(held.attempt_id)
    made["running"] = queue.submit(make_order()).id
    held = attempts.claim(_code(attempts))
    saved = SavedCheckpoint(name="5-1", step=5, size_bytes=1)
    attempts.report(held.attempt_id, held.token, Report(number=1, checkpoints=(saved,)))
    made["offered"] = queue.submit(make_order()).id
    _code(attempts)
    made["cancelled"] = queue.submit(make_order()).id
    queue.cancel(made["cancelled"])
    return made | {"queued": queue.submit(make_order()).id}


def _code(attempts: Attempts) -> str:
    offer = attempts.offer()
    assert offer is not None
    return offer.code


def broken(engine: Engine, clock: Any) -> list[str]:
    found = promises(engine, Timing(60.0), clock=clock)
    assert len(found) == 10
    return [line.name for line in found if not line.is_well]


def test_what_we_leave_behind_is_well(engine: Engine, clock: Any, jobs: dict[str, str]) -> None:
    assert broken(engine, clock) == []


@pytest.mark.parametrize("number", PLANTED)
def test_a_broken_promise_is_found(
    engine: Engine, clock: Any, jobs: dict[str, str], number: int
) -> None:
    with engine.begin() as connection:
        connection.execute(text(PLANTED[number]), jobs)

    assert any(name.startswith(f"{number}. ") for name in broken(engine, clock))


def test_the_command_says_what_is_broken_and_ends_with_1(
    client: TestClient, file_id: str, run: Any
) -> None:
    services: Services = client.app.state.services  # type: ignore[attr-defined]
    folder = ("--data-dir", str(services.settings.data_dir))
    assert run("doctor", *folder).code == 0
    body = {"model": "peftwise-tiny", "training_file": file_id}
    job_id = client.post("/v1/fine_tuning/jobs", json=body).json()["id"]
    with services.engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET state = 'cancelled'"))

    said = run("doctor", *folder)

    assert said.code == 1
    assert "8. States move by the table" in said.out
    assert job_id in said.out
