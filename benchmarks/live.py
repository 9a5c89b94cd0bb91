"""How soon a report is on its way and on the page, and what open streams cost all others.

    python benchmarks/live.py [--streams 60] [--tabs 8] [--reports 40] [--json FILE]
    PEFTWISE_DATABASE_URL=postgresql://... python benchmarks/live.py

A server in a process of its own, on an empty data folder, has jobs that report several times a
second, over HTTP as a worker's do. Streams and tabs of Chromium follow them meanwhile; without
Chromium the tabs are left out.
"""

import argparse
import asyncio
import itertools
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx

from service.serving import lend_server
from service.settings import Settings

JOBS = 6
REPORT_SECONDS = 0.25  # between two reports of a job
CHROMIUM = "/usr/bin/chromium"
TARGETS = {"report to page": 1.0, "page": 1.0, "/livez": 0.25}  # medians, in seconds
EXAMPLES = "".join(
    json.dumps({"prompt": f"How many days are {n} weeks?", "completion": f"{7 * n} days"}) + "\n"
    for n in range(60)
)


def main() -> int:
    """Measure, print a table, write JSON where asked; 1 where a target is missed."""
    asked = _parse()
    os.environ |= {"PEFTWISE_EXECUTOR": "none", "PEFTWISE_LEASE_SECONDS": "600"}
    with (
        tempfile.TemporaryDirectory() as folder,
        lend_server(Settings(data_dir=Path(folder))) as url,
    ):
        found = measure(url, streams=asked.streams, tabs=asked.tabs, reports=asked.reports)
    print(f"{'':<34}{'median':>9}{'95 %':>9}{'most':>9}   seconds")
    for name, values in found.items():
        print(f"{name:<34}" + "".join(f"{values[key]:>9.3f}" for key in ("median", "p95", "most")))
    if asked.json is not None:
        asked.json.write_text(json.dumps(found, indent=2) + "\n")
    return int(any(found[name]["median"] > most for name, most in TARGETS.items() if name in found))


def measure(url: str, *, streams: int, tabs: int, reports: int) -> dict[str, dict[str, float]]:
    """Return each wait in seconds: with nothing open, then with streams and tabs open."""
    found: dict[str, dict[str, float]] = {}
    with ExitStack() as stack:
        client = stack.enter_context(httpx.Client(base_url=url, trust_env=False, timeout=60))
        jobs = [Job.start(client) for _ in range(JOBS)]
        found["/livez, nothing open"] = told(_times(client, "/livez", reports))
        found["page, nothing open"] = told(_times(client, jobs[0].page, reports))
        heard = stack.enter_context(_listening(url, jobs, streams))
        pages = stack.enter_context(_open_tabs(url, jobs, tabs))
        with _reporting(jobs[1:]):
            found["/livez"] = told(_times(client, "/livez", reports))
            found["page"] = told(_times(client, jobs[0].page, reports))
            found["report to stream"] = told(_waits(jobs[0], heard.wait_for, reports))
            if pages:
                found["report to page"] = told(_waits(jobs[0], _on(pages[0]), reports // 2))
    return found


def told(seconds: list[float]) -> dict[str, float]:
    """Return the middle, the end of 95 % and the most of some times."""
    return {"median": median(seconds), "p95": quantiles(seconds, n=20)[-1], "most": max(seconds)}


@dataclass
class Job:
    """A running job, and its worker's side of it."""

    client: httpx.Client
    job_id: str
    attempt: str
    token: str
    step: int = 0

    @classmethod
    def start(cls, client: httpx.Client) -> "Job":
        """Queue a job and claim it, as an attached worker does."""
        files = {"file": ("weeks.jsonl", EXAMPLES.encode())}
        file = _good(client.post("/v1/files", data={"purpose": "fine-tune"}, files=files))
        order = {"model": "peftwise-tiny", "training_file": file["id"]}
        job = _good(client.post("/v1/fine_tuning/jobs", json=order))
        offer = _good(client.post("/v1/workers/offers", json={"worker": "benchmark"}))
        held = _good(client.post("/v1/worker/claim", json={"code": offer["code"]}))
        assert held["job_id"] == job["id"]
        return cls(client, job["id"], held["attempt_id"], held["token"])

    @property
    def page(self) -> str:
        """Return where its page is."""
        return f"/jobs/{self.job_id}"

    def report(self) -> int:
        """Tell of one more step, and return its number."""
        self.step += 1
        point = {"name": "loss", "step": self.step, "value": 2.0, "split": "train"}
        body = {"number": self.step, "measurements": [point], "progress": 0.5}
        headers = {"Authorization": f"Bearer {self.token}"}
        path = f"/v1/worker/attempts/{self.attempt}/reports"
        self.client.post(path, json=body, headers=headers).raise_for_status()
        return self.step


@dataclass
class Heard:
    """What the first stream has been sent."""

    step: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def tell(self, step: int) -> None:
        """Note a step that came."""
        with self.changed:
            self.step = step
            self.changed.notify_all()

    def wait_for(self, step: int) -> None:
        """Wait until a step has come."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.step >= step, timeout=30)


@contextmanager
def _listening(url: str, jobs: list[Job], count: int) -> Iterator[Heard]:
    """Keep streams open in a thread of their own; the first tells what it hears."""
    heard, opened, stop = Heard(), threading.Semaphore(0), threading.Event()

    async def follow(client: httpx.AsyncClient, job: Job, *, is_first: bool) -> None:
        async with client.stream("GET", f"/v1/live/jobs/{job.job_id}") as answer:
            answer.raise_for_status()
            opened.release()
            async for line in answer.aiter_lines():
                if is_first and line.startswith('data: {"attempt"') and '"step":' in line:
                    points = json.loads(line.removeprefix("data: "))["data"]
                    heard.tell(points[-1]["step"])

    async def run() -> None:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=url, trust_env=False, timeout=None, limits=limits
        ) as client:
            tasks = [
                asyncio.create_task(follow(client, job, is_first=number == 0))
                for number, job in zip(range(count), itertools.cycle(jobs), strict=False)
            ]
            await asyncio.to_thread(stop.wait)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        for _ in range(count):
            assert opened.acquire(timeout=30)
        yield heard
    finally:
        stop.set()
        thread.join()


@contextmanager
def _open_tabs(url: str, jobs: list[Job], count: int) -> Iterator[list[Any]]:
    """Open tabs on the pages of jobs, the first on the first; none without Chromium."""
    if not count or shutil.which(CHROMIUM) is None:
        yield []
        return
    from playwright.sync_api import sync_playwright  # an extra of development

    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        pages = [browser.new_context(base_url=url).new_page() for _ in range(count)]
        for page, job in zip(pages, itertools.cycle(jobs), strict=False):
            page.goto(job.page)
        yield pages
        browser.close()


@contextmanager
def _reporting(jobs: list[Job]) -> Iterator[None]:
    """Let jobs report all the while."""
    stop = threading.Event()

    def report() -> None:
        while not stop.wait(REPORT_SECONDS):
            for job in jobs:
                job.report()

    thread = threading.Thread(target=report)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _on(page: Any) -> Any:
    def wait_for(step: int) -> None:
        page.get_by_text(f"step {step:,}").first.wait_for(timeout=30_000)

    return wait_for


def _waits(job: Job, wait_for: Any, count: int) -> list[float]:
    waits = []
    for _ in range(count):
        begun = time.perf_counter()
        wait_for(job.report())
        waits.append(time.perf_counter() - begun)
        time.sleep(0.37)  # in no step with those who look
    return waits


def _times(client: httpx.Client, path: str, count: int) -> list[float]:
    times = []
    for _ in range(count):
        begun = time.perf_counter()
        client.get(path).raise_for_status()
        times.append(time.perf_counter() - begun)
    return times


def _good(answer: httpx.Response) -> Any:
    answer.raise_for_status()
    return answer.json()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--streams", type=int, default=60)
    parser.add_argument("--tabs", type=int, default=8)
    parser.add_argument("--reports", type=int, default=40)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
