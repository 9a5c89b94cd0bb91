"""A real server on a free port and a real browser; skipped where no Chromium is installed."""

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from metadata.messages import Report
from metadata.records import Measurement
from service.app import create_app
from service.settings import Settings

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
START_SECONDS = 120


@dataclass(frozen=True)
class Site:
    """A server in a thread of this process, and its application."""

    url: str
    app: FastAPI


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        settings = Settings(data_dir=tmp_path_factory.mktemp("site"), port=port, executor="none")
        app = create_app(settings)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        _wait_for(f"http://127.0.0.1:{port}/livez")
        yield Site(f"http://127.0.0.1:{port}", app)
        app.state.services.drain()  # or open streams would keep it
        server.should_exit = True
        thread.join()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise AssertionError(f"no answer from {url}")


@pytest.fixture(scope="module")  # its event loop runs in the thread of all tests that follow
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra `dev`")
    if shutil.which(CHROMIUM) is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Tried:
    """A job with an attempt that holds it, as a worker would."""

    services: Any
    job_id: str
    attempt_id: str
    token: str
    step: int = 0
    printed: int = 0

    def report(self, *, text: str = "", steps: int = 1000, split: str = "train") -> None:
        """Tell of one more step of so many, and what was printed meanwhile."""
        self.step += 1
        point = Measurement(name="loss", step=self.step, value=3.0 - self.step / 100, split=split)
        report = Report(
            number=self.step,
            measurements=(point,),
            progress=self.step / steps,
            trained_tokens=64 * self.step,
        )
        self.services.attempts.report(self.attempt_id, self.token, report)
        if text:
            piece = text.encode()
            self.services.logs.write(self.attempt_id, piece, offset=self.printed)
            self.printed += len(piece)


class StartJob(Protocol):
    """Queue a job and let a worker claim it; returns what holds it."""

    def __call__(self, *, file_name: str = ..., worker: str = ...) -> Tried: ...


@pytest.fixture
def start_job(site: Site) -> StartJob:
    """Return a function that leaves a job running."""
    services: Any = site.app.state.services

    def start(*, file_name: str = "weeks.jsonl", worker: str = "gpu-box-1") -> Tried:
        with httpx.Client(base_url=site.url, trust_env=False, timeout=60) as client:
            file_id = upload(client, file_name)
            order = {"model": "peftwise-tiny", "training_file": file_id}
            job_id = client.post("/v1/fine_tuning/jobs", json=order).json()["id"]
            offer = client.post("/v1/workers/offers", json={"worker": worker}).json()
            while offer["job_id"] != job_id:  # what other tests have left waiting
                services.queue.cancel(offer["job_id"])
                offer = client.post("/v1/workers/offers", json={"worker": worker}).json()
        held = services.attempts.claim(offer["code"])
        return Tried(services, job_id, held.attempt_id, held.token)

    return start


def upload(client: httpx.Client, name: str) -> str:
    """Upload a small training file and return its id."""
    lines = (
        f'{{"prompt": "How many days are {n} weeks?", "completion": "{7 * n} days"}}\n'
        for n in range(60)
    )
    files = {"file": (name, "".join(lines).encode())}
    answer = client.post("/v1/files", data={"purpose": "fine-tune"}, files=files)
    assert answer.status_code == 200, answer.text
    file_id: str = answer.json()["id"]
    return file_id


@dataclass
class Watched:
    """A tab, with what it complained of and what it asked for."""

    page: Any
    complaints: list[str]
    requests: list[str]


@pytest.fixture
def open_tab(browser: Any, site: Site) -> Iterator[Callable[..., Watched]]:
    """Return a function that opens a tab; one that scripts or the network failed is a failure."""
    contexts = []

    def open_one(*, width: int = 1280, scheme: str = "light", scripts: bool = True) -> Watched:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            java_script_enabled=scripts,
            base_url=site.url,
        )
        contexts.append(context)
        tab = Watched(context.new_page(), [], [])
        tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
        tab.page.on("console", lambda said: _note(tab, said))
        tab.page.on("request", lambda asked: tab.requests.append(asked.url))
        return tab

    yield open_one
    for context in contexts:
        context.close()


def _note(tab: Watched, said: Any) -> None:
    if said.type in {"error", "warning"}:
        tab.complaints.append(said.text)


@pytest.fixture
def data_file(tmp_path: Path) -> Path:
    """Return a small training file."""
    path = tmp_path / "weeks.jsonl"
    lines = [
        f'{{"prompt": "How many days are {n} weeks?", "completion": "{7 * n} days"}}\n'
        for n in range(60)
    ]
    path.write_text("".join(lines))
    return path
