"""PostgreSQL is restarted while light trainings claim, renew, report and end, and clients order."""

import os
import random
import subprocess
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from fault_server import order_of
from light_trainer import STEPS, loss_of

LIVE_SECONDS = 5.0  # at most for `/livez` while two cores do all the rest
MODES = ("immediate", "fast")  # as a crash, and as an operator would


def restart(postgres: Any, mode: str, *, away_seconds: float) -> None:
    """Stop PostgreSQL, leave it away for a while, and start it again."""
    control = [str(postgres.bin / "pg_ctl"), "-D", str(postgres.folder / "data"), "-w"]
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    options = f"-p {postgres.port} -c listen_addresses=127.0.0.1 -c fsync=off -k {postgres.folder}"
    stop = [*as_user, *control, "-m", mode, "stop"]
    start = [*as_user, *control, "-o", options, "-l", str(postgres.folder / "log"), "start"]
    subprocess.run(stop, check=True, cwd="/", stdout=subprocess.DEVNULL)
    time.sleep(away_seconds)
    subprocess.run(start, check=True, cwd="/", stdout=subprocess.DEVNULL)


@dataclass
class Clients:
    """Some that order and look, and one that asks whether the server lives."""

    url: str
    file_id: str
    seen: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    live_seconds: list[float] = field(default_factory=list)
    jobs: dict[str, str] = field(default_factory=dict)  # by key
    is_over: threading.Event = field(default_factory=threading.Event)

    def order(self, keys: list[str]) -> None:
        """Send each order until it is accepted, then look at jobs until all is over."""
        with httpx.Client(base_url=self.url, trust_env=False, timeout=60) as http:
            for key in keys:
                while key not in self.jobs:
                    self._order(http, key)
                self.is_over.wait(0.5)
            while not self.is_over.wait(0.2):
                self._note(http.get("/v1/fine_tuning/jobs"))

    def live(self) -> None:
        """Ask whether it lives, again and again."""
        with httpx.Client(base_url=self.url, trust_env=False, timeout=60) as http:
            while not self.is_over.wait(0.05):
                start = time.monotonic()
                if http.get("/livez").status_code != httpx.codes.OK:
                    self.wrong.append("/livez")
                self.live_seconds.append(time.monotonic() - start)

    def _order(self, http: httpx.Client, key: str) -> None:
        answer = http.post(
            "/v1/fine_tuning/jobs",
            json=order_of(self.file_id, epochs=1.0),
            headers={"Idempotency-Key": key},
        )
        self._note(answer)
        if answer.is_success:
            self.jobs[key] = answer.json()["id"]
        else:
            self.is_over.wait(0.2)

    def _note(self, answer: httpx.Response) -> None:
        self.seen[answer.status_code] += 1
        is_patient = (
            answer.status_code in {429, 503} and int(answer.headers.get("retry-after", 0)) > 0
        )
        if not answer.is_success and not is_patient:
            self.wrong.append(f"{answer.request.url.path} {answer.status_code}: {answer.text}")


def under_way(server: Any, orders: int) -> bool:
    """Say whether any of so many jobs has not come or not ended, as far as is known."""
    listed = server.http.get("/v1/fine_tuning/jobs?limit=100").json().get("data", [])
    ended = [job for job in listed if job["status"] not in {"queued", "running"}]
    return len(ended) < orders


def check_books(server: Any, jobs: list[str]) -> None:
    """See that each job is there once, with one run that took each step once."""
    listed = server.http.get("/v1/fine_tuning/jobs?limit=100").json()["data"]
    assert sorted(job["id"] for job in listed) == sorted(jobs)
    assert Counter(job["status"] for job in listed) == {"succeeded": len(jobs)}
    runs = [
        run
        for run in server.http.get("/v1/runs?limit=1000").json()["data"]
        if run["origin"]["source"] == "worker"
    ]
    assert sorted(run["origin"]["detail"] for run in runs) == sorted(jobs)
    for run in runs:
        curve = server.http.get(f"/v1/runs/{run['id']}").json()["curve"]
        assert run["scores"]["best_loss"] == loss_of(STEPS)
        assert [p["step"] for p in curve] == list(range(0, STEPS + 1, 5))
    found = server.http.get("/v1/doctor").json()["data"]
    assert [line for line in found if not line["is_well"] and line["name"][0].isdigit()] == []


@pytest.mark.parametrize(
    ("restarts", "orders"), [(2, 1), pytest.param(10, 6, marks=pytest.mark.slow)]
)
def test_while_postgresql_is_restarted_nothing_is_lost_and_nothing_counts_twice(
    light_on_postgres: Any, postgres_server: Any, wait: Any, restarts: int, orders: int
) -> None:
    server, rng = light_on_postgres, random.Random(restarts)
    clients = Clients(server.url, server.upload())
    keys = [[str(uuid.uuid4()) for _ in range(orders)] for _ in range(3)]

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(clients.order, own) for own in keys]
        asked.append(pool.submit(clients.live))
        try:
            for number in range(restarts):
                time.sleep(rng.uniform(1.0, 3.0))
                restart(postgres_server, MODES[number % 2], away_seconds=rng.uniform(0.0, 1.5))
            wait(lambda: any(one.done() for one in asked) or not under_way(server, orders * 3))
        finally:
            clients.is_over.set()
    for one in asked:
        one.result()

    assert clients.wrong == []
    assert clients.seen[httpx.codes.SERVICE_UNAVAILABLE] > 0, clients.seen
    assert max(clients.live_seconds) < LIVE_SECONDS
    check_books(server, list(clients.jobs.values()))
