from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient

from metadata.messages import Outcome
from service.jobs.attempts import Attempts
from service.jobs.queue import Queue
from service.jobs.timing import Timing
from service.workers.sightings import MOST, Sightings
from service.workers.tries import recent_tries, tries_of_job

LEASE_SECONDS = 60.0


def test_a_worker_that_waits_is_seen_and_one_that_runs_says_what(
    client: TestClient, file_id: str
) -> None:
    client.post("/v1/workers/offers", json={"worker": "waits"})
    order = {"model": "peftwise-tiny", "training_file": file_id}
    job_id = client.post("/v1/fine_tuning/jobs", json=order).json()["id"]
    offer = client.post("/v1/workers/offers", json={"worker": "runs"}).json()
    client.post("/v1/worker/claim", json={"code": offer["code"]})

    answer = client.get("/v1/workers").json()

    found = {one["name"]: one for one in answer["data"]}
    assert set(found) == {"waits", "runs"}
    assert found["waits"]["running"] == []
    assert found["waits"]["last_seen_at"] is not None
    (running,) = found["runs"]["running"]
    assert (running["job_id"], running["claimed"]) == (job_id, True)
    assert running["renewed_at"] < running["lease_ends_at"]
    assert answer["executor"]["name"] == "none"
    page = client.get("/workers").text
    assert job_id in page
    assert "waits" in page
    assert offer["code"] not in page


def test_what_a_worker_ended_is_counted_and_its_device_known(
    engine: Engine, queue: Queue, attempts: Attempts, make_order: Any, clock: Any, device: Any
) -> None:
    job = queue.submit(make_order())
    held = attempts.claim(_offer(attempts, "worker:box").code)
    clock.pass_seconds(20)
    attempts.renew(held.attempt_id, held.token)
    (running,) = tries_of_job(engine, job.id, timing=Timing(LEASE_SECONDS))
    assert running.heard_at == clock.now
    assert running.ended_at is None

    failed = Outcome(state="out_of_memory", reason="64 GiB are not enough.")
    attempts.finish(held.attempt_id, held.token, failed, device)

    (ended,) = recent_tries(
        engine, since=clock.now - timedelta(days=1), timing=Timing(LEASE_SECONDS)
    )
    assert (ended.outcome, ended.device) == ("out_of_memory", device)
    assert ended.ended_at == clock.now
    later = recent_tries(engine, since=clock.now + timedelta(1), timing=Timing(LEASE_SECONDS))
    assert later == ()


def _offer(attempts: Attempts, by: str) -> Any:
    offer = attempts.offer(started_by=by)
    assert offer is not None
    return offer


def test_so_many_names_are_remembered_and_no_more(clock: Any) -> None:
    sightings = Sightings()
    for number in range(MOST + 5):
        sightings.saw(f"worker-{number}", now=clock.now)

    seen = sightings.since(clock.now)

    assert len(seen) == MOST
    assert "worker-4" not in seen
    assert f"worker-{MOST + 4}" in seen


@pytest.mark.parametrize("state", ["queued", "cancelled", "running"])
def test_jobs_are_listed_by_state(client: TestClient, file_id: str, state: str) -> None:
    order = {"model": "peftwise-tiny", "training_file": file_id}
    ids = [client.post("/v1/fine_tuning/jobs", json=order).json()["id"] for _ in range(2)]
    client.post(f"/v1/fine_tuning/jobs/{ids[0]}/cancel", json={})
    of_state = {"queued": [ids[1]], "cancelled": [ids[0]], "running": []}[state]

    page = client.get("/jobs", params={"state": state}).text

    assert [one for one in ids if one in page] == of_state
    assert client.get("/jobs", params={"state": "sideways"}).status_code == 422
