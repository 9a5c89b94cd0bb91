"""Streams on a real server: what is cut goes on, what is too much is refused, the end is an end."""

import base64
import contextlib
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import Engine

from metadata.errors import InvalidRequest
from metadata.messages import Notice, Release, Report
from metadata.records import Measurement
from service.app import create_app
from service.jobs.attempts import Attempts
from service.jobs.logs import LogStore
from service.jobs.queue import Queue
from service.live.job_list import read_list_position
from service.live.positions import Position, read_position
from service.live.reader import ALL_JOBS, Place, Reader
from service.live.streams import MOST_STREAMS
from service.settings import Settings

LIVE = "/v1/live/jobs"


@dataclass(frozen=True)
class Site:
    url: str
    app: FastAPI

    @property
    def services(self) -> Any:
        return self.app.state.services


@contextlib.contextmanager
def serve(settings: Settings) -> Iterator[Site]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        app = create_app(settings.model_copy(update={"port": port}))
        config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=10)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            _wait_until(lambda: server.started)
            yield Site(f"http://127.0.0.1:{port}", app)
        finally:
            app.state.services.drain()
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture
def site(settings: Settings) -> Iterator[Site]:
    with serve(settings) as site:
        yield site


@pytest.fixture
def any_site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    """Yield a server on each kind of database."""
    with serve(Settings(data_dir=tmp_path, database_url=database_url, executor="none")) as site:
        yield site


def _wait_until(is_so: Any, *, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.01)


@dataclass
class Said:
    kind: str
    data: Any
    id: str


def said_by(answer: httpx.Response) -> Iterator[Said]:
    """Read server-sent events as the standard has it, comments and waits left out."""
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if line and name:
            fields[name] = value
        if not line and "data" in fields:
            yield Said(fields["event"], json.loads(fields["data"]), fields["id"])
        if not line:
            fields = {}


@contextlib.contextmanager
def listening(
    url: str, path: str, *, last: str | None = None, **headers: str
) -> Iterator[httpx.Response]:
    sent = headers if last is None else {**headers, "Last-Event-ID": last}
    with (
        httpx.Client(base_url=url, trust_env=False, verify=False, timeout=20) as client,
        client.stream("GET", path, headers=sent) as answer,
    ):
        yield answer


@dataclass
class Tried:
    """A job with an attempt that holds it, and what it has told so far."""

    services: Any
    job_id: str
    attempt_id: str
    token: str
    step: int = 0
    printed: int = 0

    def report(self, *, notices: int = 1, text: bytes = b"") -> None:
        self.step += 1
        self.services.attempts.report(
            self.attempt_id,
            self.token,
            Report(
                number=self.step,
                measurements=(Measurement(name="loss", step=self.step, value=1.0, split="train"),),
                notices=tuple(Notice(message=f"{self.step}.{n}") for n in range(notices)),
                progress=min(1.0, self.step / 1000),
                trained_tokens=self.step,
            ),
        )
        if text:
            self.services.logs.write(self.attempt_id, text, offset=self.printed)
            self.printed += len(text)


def start(services: Any, order: Any) -> Tried:
    job = services.queue.submit(order)
    held = services.attempts.claim(services.attempts.offer().code)
    assert held.job.id == job.id
    return Tried(services, job.id, held.attempt_id, held.token)


def all_events(queue: Queue, job_id: str) -> list[str]:
    """Return the ids of all events of a job, oldest first, as their route lists them."""
    ids: list[str] = []
    before = None
    while True:
        page = queue.events(job_id, limit=100, before=before)
        ids += [f"{job_id}-{event.number}" for event in page.events]
        if not page.has_more:
            return ids[::-1]
        before = page.events[-1].number


def test_fifty_cut_connections_lose_and_repeat_nothing(any_site: Site, make_order: Any) -> None:
    site = any_site
    tried = start(site.services, make_order())
    rng = random.Random(10)
    is_done = threading.Event()

    def tell() -> None:
        while not is_done.is_set():
            tried.report(notices=rng.randint(0, 3), text="Größe \N{SNOWMAN}\n".encode())
            time.sleep(0.005)
        site.services.queue.cancel(tried.job_id)

    teller = threading.Thread(target=tell)
    teller.start()
    heard: list[Said] = []
    last: str | None = None
    for cut in range(51):
        if cut == 50:
            is_done.set()
        most = 10**9 if cut == 50 else rng.randint(1, 25)
        with listening(site.url, f"{LIVE}/{tried.job_id}", last=last) as answer:
            for said, _ in zip(said_by(answer), range(most), strict=False):
                heard.append(said)
                last = said.id
    teller.join()

    events = [said.data["id"] for said in heard if said.kind == "event"]
    steps = [p["step"] for said in heard if said.kind == "points" for p in said.data["data"]]
    log = "".join(said.data["text"] for said in heard if said.kind == "log")
    assert events == all_events(site.services.queue, tried.job_id)
    assert steps == list(range(1, tried.step + 1))
    assert log.encode() == "Größe \N{SNOWMAN}\n".encode() * tried.step
    assert heard[-1].kind == "end"
    assert heard[-1].data == {"status": "cancelled"}


def test_a_reader_far_behind_is_sent_all_in_order(site: Site, make_order: Any) -> None:
    tried = start(site.services, make_order())
    for _ in range(12):
        tried.report(notices=100, text=b"x" * 20_000)
    points = tuple(
        Measurement(name="loss", step=step, value=1.0, split="validation") for step in range(2_500)
    )
    report = Report(number=tried.step + 1, measurements=points)
    site.services.attempts.report(tried.attempt_id, tried.token, report)
    site.services.queue.cancel(tried.job_id)

    with listening(site.url, f"{LIVE}/{tried.job_id}") as answer:
        heard = list(said_by(answer))

    events = [said.data["id"] for said in heard if said.kind == "event"]
    validated = [
        point["step"]
        for said in heard
        if said.kind == "points"
        for point in said.data["data"]
        if point["split"] == "validation"
    ]
    assert events == all_events(site.services.queue, tried.job_id)
    assert len(events) > 3_000
    assert validated == list(range(2_500))
    assert sum(len(said.data["text"]) for said in heard if said.kind == "log") == 240_000
    assert heard[-1].kind == "end"


def test_a_report_is_on_its_way_within_a_second(site: Site, make_order: Any) -> None:
    tried = start(site.services, make_order())
    waits = []
    with listening(site.url, f"{LIVE}/{tried.job_id}") as answer:
        said = said_by(answer)
        for _ in range(9):
            begun = time.monotonic()
            tried.report(notices=0)
            while next(said).kind != "points":
                pass
            waits.append(time.monotonic() - begun)

    assert sorted(waits)[len(waits) // 2] < 1.0


def test_the_list_tells_of_new_jobs_moves_and_what_was_deleted(site: Site, make_order: Any) -> None:
    first = site.services.queue.submit(make_order())
    with listening(site.url, LIVE) as answer:
        said = said_by(answer)
        begun = next(said)
        assert (begun.data["job_id"], begun.data["status"]) == (first.id, "queued")
        site.services.queue.cancel(first.id)
        assert next(said).data["status"] == "cancelled"
        last = begun.id
    with listening(site.url, LIVE, last=last) as answer:
        said = said_by(answer)
        assert next(said).data["status"] == "cancelled"  # what changed since
        second = site.services.queue.submit(make_order())
        assert next(said).data["job_id"] == second.id
        site.services.queue.delete(first.id)
        gone = next(said)
        assert (gone.kind, gone.data) == ("gone", {"job_id": first.id})


def test_a_hundred_streams_are_open_and_one_more_is_told_to_wait(
    site: Site, make_order: Any
) -> None:
    job = site.services.queue.submit(make_order())
    with contextlib.ExitStack() as stack:
        for _ in range(MOST_STREAMS):
            answer = stack.enter_context(listening(site.url, f"{LIVE}/{job.id}"))
            assert answer.status_code == 200
            assert answer.headers["x-content-type-options"] == "nosniff"
        with listening(site.url, f"{LIVE}/{job.id}") as refused:
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "5"
            assert "100" in json.loads(refused.read())["detail"]
        begun = time.monotonic()
        assert httpx.get(f"{site.url}/livez", trust_env=False).status_code == 200
        assert httpx.get(f"{site.url}/jobs", trust_env=False).status_code == 200
        assert time.monotonic() - begun < 1.0
    _wait_until(lambda: site.services.live.count == 0)
    with listening(site.url, f"{LIVE}/{job.id}") as answer:
        assert answer.status_code == 200


def test_streams_end_when_the_server_drains(settings: Settings, make_order: Any) -> None:
    with serve(settings) as site:
        job = site.services.queue.submit(make_order())
        with listening(site.url, f"{LIVE}/{job.id}") as answer:
            said = said_by(answer)
            assert next(said).kind == "event"
            site.services.drain()
            assert [one.kind for one in said] == ["progress"]
        with listening(site.url, LIVE) as answer:
            assert answer.status_code == 503


def test_streams_ask_for_the_key_as_all_else(settings: Settings, make_order: Any) -> None:
    with serve(settings.model_copy(update={"api_key": SecretStr("s3cret")})) as site:
        job = site.services.queue.submit(make_order())
        for path, scheme in ((LIVE, "Bearer"), (f"/live/jobs/{job.id}", "Basic")):
            with listening(site.url, path) as answer:
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"].startswith(scheme)
        auth = f"Basic {base64.b64encode(b':s3cret').decode()}"
        with listening(site.url, f"/live/jobs/{job.id}", Authorization=auth) as answer:
            assert next(said_by(answer)).kind == "event"


@pytest.mark.parametrize("last", ["x", "1?attempt=-1", "1?a", "\N{SUPERSCRIPT TWO}", "9" * 40])
def test_an_id_that_is_not_of_the_stream_is_refused_with_the_rule(last: str) -> None:
    with pytest.raises(InvalidRequest, match="Last-Event-ID"):
        read_position(last)


def test_a_position_survives_its_way_through_text() -> None:
    place = Position(event=7, attempt=2, log=9, steps={"train/loss & more?": 3, "test/é": 0})

    assert read_position(str(place)) == place
    assert read_position("17") == Position(event=17)
    assert read_position(None) == Position()


def test_an_unknown_job_is_not_there(site: Site) -> None:
    with listening(site.url, f"{LIVE}/no-such-job") as answer:
        assert answer.status_code == 404


def test_what_an_earlier_attempt_told_last_is_not_lost(
    engine: Engine, queue: Queue, attempts: Attempts, make_order: Any, tmp_path: Any
) -> None:
    """On both databases: a reader that was away while one attempt followed another."""
    logs = LogStore(tmp_path)
    services = _Services(queue, attempts, logs)
    tried = start(services, make_order())
    tried.report(text=b"one\n")
    reader = Reader(engine, logs)
    (first,) = reader([Place(tried.job_id, Position())])
    assert first is not None
    tried.report(text=b"two\n")
    _pause_and_resume(queue, attempts, tried)
    again = services.claim_again(tried.job_id)
    again.report(text=b"three\n")

    (rest,) = reader([Place(tried.job_id, first.position, first.mark)])

    assert rest is not None
    said = [(m.data.attempt, m.data.text) for m in rest.messages if m.kind == "log"]
    points = [
        (m.data.attempt, p.step) for m in rest.messages if m.kind == "points" for p in m.data.data
    ]
    assert said == [(1, "two\n"), (2, "three\n")]
    assert points == [(1, 2), (2, 1)]
    (nothing,) = reader([Place(tried.job_id, rest.position, rest.mark)])
    assert nothing is None


@dataclass
class _Services:
    queue: Queue
    attempts: Attempts
    logs: LogStore

    def claim_again(self, job_id: str) -> Tried:
        offer = self.attempts.offer()
        assert offer is not None
        held = self.attempts.claim(offer.code)
        assert held.job.id == job_id
        return Tried(self, job_id, held.attempt_id, held.token)


def _pause_and_resume(queue: Queue, attempts: Attempts, tried: Tried) -> None:
    queue.pause(tried.job_id)
    attempts.release(tried.attempt_id, tried.token, Release(reason="Paused.", is_loss=False))
    queue.resume(tried.job_id)


def test_readers_of_one_job_are_read_for_once(
    engine: Engine, queue: Queue, make_order: Any, tmp_path: Any
) -> None:
    job = queue.submit(make_order())
    reader = Reader(engine, LogStore(tmp_path))

    found = reader([Place(job.id, Position())] * 60 + [Place(ALL_JOBS, read_list_position(None))])

    assert all(batch is found[0] for batch in found[:60])
    assert found[60] is not None
    assert [m.kind for m in found[60].messages] == ["job"]
