"""A lease against a service behind an in-memory transport, and a clock set by hand."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
import pytest

from metadata.errors import Unauthorized, Unavailable
from metadata.messages import MeasurementBatch
from metadata.records import Measurement
from training_worker.client import WorkerClient
from training_worker.lease import BATCH, Lease
from training_worker.trainer_messages import Note


@dataclass
class Service:
    status: int = 200
    go_on: bool = True
    batches: list[MeasurementBatch] = field(default_factory=list)

    def client(self) -> WorkerClient:
        return WorkerClient("http://service", transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self.status == 0:
            raise httpx.ConnectError("nobody there")
        if self.status == 200 and request.url.path.endswith("/measurements"):
            self.batches.append(MeasurementBatch.model_validate_json(request.content))
        body = {"go_on": self.go_on} if self.status == 200 else {"detail": "because"}
        return httpx.Response(self.status, json=body)


def note(step: int) -> Note:
    measurement = Measurement(name="loss", step=step, value=1.0, split="validation")
    return Note(measurement=measurement, trained_tokens=step, progress=0.5)


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not is_so():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def held(service: Service, *, clock: Callable[[], float] = time.monotonic) -> tuple[Lease, list]:
    lost: list[bool] = []
    lease = Lease(
        service.client(), renew_seconds=0.02, on_lost=lambda: lost.append(True), clock=clock
    )
    return lease, lost


def test_measurements_are_sent_in_order_and_once() -> None:
    service = Service()
    lease, lost = held(service)

    with lease:
        for step in range(5):
            lease.note(note(step))
            time.sleep(0.005)
        wait_until(lambda: sum(len(batch.measurements) for batch in service.batches) == 5)

    steps = [point.step for batch in service.batches for point in batch.measurements]
    assert steps == list(range(5))
    assert service.batches[-1].trained_tokens == 4
    assert lost == []


def test_what_could_not_be_sent_is_sent_later() -> None:
    service = Service(status=0)
    lease, _ = held(service)
    lease.note(note(1))

    with pytest.raises(Unavailable):
        lease.flush()
    service.status = 200
    lease.flush()

    assert [len(batch.measurements) for batch in service.batches] == [1]


def test_more_measurements_than_a_message_holds_go_in_several() -> None:
    service = Service()
    lease, _ = held(service)
    for step in range(BATCH + 1):
        lease.note(note(step))

    lease.flush()
    lease.flush()
    lease.flush()

    assert [len(batch.measurements) for batch in service.batches] == [BATCH, 1]


@pytest.mark.parametrize(
    ("service", "verdict"),
    [
        (Service(go_on=False), "cancelled"),
        (Service(status=401), "refused"),
        (Service(status=409), "refused"),
    ],
)
def test_a_lease_that_is_lost_says_why_and_tells_once(service, verdict) -> None:
    lease, lost = held(service)

    with lease:
        wait_until(lambda: bool(lost))

    assert lease.verdict == verdict
    assert lost == [True]


@pytest.mark.parametrize("status", [0, 500, 503])
def test_a_service_that_is_away_is_waited_for_three_renewals(status) -> None:
    now = [0.0]
    lease, lost = held(Service(status=status), clock=lambda: now[0])

    with lease:
        for moment in (0.02, 0.04, 0.059):
            now[0] = moment
            time.sleep(0.05)
        assert lease.verdict == "go_on"
        now[0] = 0.061
        wait_until(lambda: bool(lost))

    assert lease.verdict == "away"


def test_a_refusal_carries_the_reason_of_the_service() -> None:
    with pytest.raises(Unauthorized, match="401: because"):
        Service(status=401).client().renew()


def test_nothing_is_left_running_after_a_lease() -> None:
    lease, _ = held(Service())

    with lease:
        assert any(thread.name == "lease" for thread in threading.enumerate())

    assert not any(thread.name == "lease" for thread in threading.enumerate())
