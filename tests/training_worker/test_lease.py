"""A lease and its outbox against a service in memory, and a clock set by hand."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
import pytest

from metadata.errors import Unauthorized, Unavailable
from metadata.messages import Report
from metadata.records import Measurement
from training_worker.client import WorkerClient
from training_worker.lease import Lease, waking_time
from training_worker.outbox import MEASUREMENTS, Outbox
from training_worker.trainer_messages import Note, Notice, Saved


@dataclass
class Service:
    status: int = 200
    because: str = ""
    loses_answers: bool = False
    reports: list[Report] = field(default_factory=list)
    log: bytes = b""

    def client(self) -> WorkerClient:
        return WorkerClient("http://service", transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self.status == 0:
            raise httpx.ConnectError("nobody there")
        if self.status == 200 and request.url.path.endswith("/reports"):
            self.reports.append(Report.model_validate_json(request.content))
        if self.status == 200 and request.url.path.endswith("/log"):
            offset = int(request.url.params["offset"])
            self.log = self.log[:offset] + request.content
        if self.loses_answers:
            raise httpx.ReadError("the answer is lost")
        if self.status != 200:
            return httpx.Response(self.status, json={"detail": "because"})
        body = {"go_on": not self.because, "because": self.because}
        return httpx.Response(self.status, json=body)


def note(step: int) -> Note:
    measurement = Measurement(name="loss", step=step, value=1.0, split="validation")
    return Note(measurement=measurement, trained_tokens=step, progress=0.5)


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not is_so():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


@dataclass
class Told:
    paused: int = 0
    lost: int = 0

    def pause(self) -> None:
        self.paused += 1

    def lose(self) -> None:
        self.lost += 1


def held(
    service: Service, *, clock: Callable[[], float] = waking_time
) -> tuple[Lease, Outbox, Told]:
    told, outbox = Told(), Outbox()
    lease = Lease(
        service.client(),
        outbox,
        renew_seconds=0.02,
        on_pause=told.pause,
        on_lost=told.lose,
        claimed_at=clock(),
        clock=clock,
    )
    return lease, outbox, told


def test_measurements_are_sent_in_order_and_once() -> None:
    service = Service()
    lease, outbox, told = held(service)

    with lease:
        for step in range(5):
            outbox.note(note(step))
            time.sleep(0.005)
        wait_until(lambda: sum(len(report.measurements) for report in service.reports) == 5)

    steps = [point.step for report in service.reports for point in report.measurements]
    assert steps == list(range(5))
    assert service.reports[-1].trained_tokens == 4
    assert told.lost == 0


def test_what_could_not_be_sent_is_sent_later_under_its_number() -> None:
    service, outbox = Service(loses_answers=True), Outbox()
    outbox.note(note(1))
    outbox.notice(Notice(level="warn", message="Halved."))

    with pytest.raises(Unavailable):
        outbox.send(service.client())
    outbox.note(note(2))
    service.loses_answers = False
    outbox.send(service.client())

    assert [report.number for report in service.reports] == [1, 1, 2]
    assert service.reports[0] == service.reports[1]
    assert [len(report.measurements) for report in service.reports] == [1, 1, 1]


def test_more_measurements_than_a_report_holds_go_in_several() -> None:
    service, outbox = Service(), Outbox()
    for step in range(MEASUREMENTS + 1):
        outbox.note(note(step))

    outbox.send(service.client())
    outbox.send(service.client())

    assert [len(report.measurements) for report in service.reports] == [MEASUREMENTS, 1]


def test_a_checkpoint_is_told_with_how_far_the_training_is() -> None:
    service, outbox = Service(), Outbox()
    outbox.note(note(7))
    outbox.saved(Saved(step=7, name="00000007-1", bytes=99))

    outbox.send(service.client())

    [checkpoint] = service.reports[0].checkpoints
    assert (checkpoint.name, checkpoint.step, checkpoint.size_bytes) == ("00000007-1", 7, 99)
    assert checkpoint.progress == 0.5


def test_what_is_printed_arrives_whole_though_answers_are_lost() -> None:
    service, outbox = Service(loses_answers=True), Outbox()
    outbox.printed(b"one ")
    with pytest.raises(Unavailable):
        outbox.send(service.client())
    outbox.printed(b"two")
    service.loses_answers = False

    outbox.send(service.client())

    assert service.log == b"one two"


def test_a_pause_is_told_once_and_the_lease_is_kept() -> None:
    service = Service(because="paused")
    lease, _, told = held(service)

    with lease:
        wait_until(lambda: told.paused > 0)
        time.sleep(0.1)
        assert lease.is_held

    assert (lease.verdict, told) == ("paused", Told(paused=1))


def test_an_attempt_that_slept_past_its_lease_stops_before_it_asks() -> None:
    now = [0.0]
    service = Service()
    lease, outbox, told = held(service, clock=lambda: now[0])

    with lease:
        outbox.note(note(1))
        now[0] = 1000.0
        wait_until(lambda: told.lost > 0)

    assert (lease.verdict, lease.is_held, service.reports) == ("away", False, [])


@pytest.mark.parametrize(
    ("service", "verdict"),
    [
        (Service(because="cancelled"), "cancelled"),
        (Service(status=401), "refused"),
        (Service(status=409), "refused"),
    ],
)
def test_a_lease_that_is_lost_says_why_and_tells_once(service, verdict) -> None:
    lease, _, told = held(service)

    with lease:
        wait_until(lambda: told.lost > 0)

    assert lease.verdict == verdict
    assert told == Told(lost=1)


@pytest.mark.parametrize("status", [0, 500, 503])
def test_a_service_that_is_away_is_waited_for_three_renewals(status) -> None:
    now = [0.0]
    lease, _, told = held(Service(status=status), clock=lambda: now[0])

    with lease:
        for moment in (0.02, 0.04, 0.059):
            now[0] = moment
            time.sleep(0.05)
        assert lease.verdict == "go_on"
        now[0] = 0.061
        wait_until(lambda: told.lost > 0)

    assert lease.verdict == "away"


def test_a_refusal_carries_the_reason_of_the_service() -> None:
    with pytest.raises(Unauthorized, match="401: because"):
        Service(status=401).client().renew()


def test_nothing_is_left_running_after_a_lease() -> None:
    lease, _, _ = held(Service())

    with lease:
        assert any(thread.name == "lease" for thread in threading.enumerate())

    assert not any(thread.name == "lease" for thread in threading.enumerate())
