"""Kill at random, and count what is lost: `python tests/faults/fault_campaign.py --seed 0`.

Trainers, attempts and the server that executes them are killed by SIGKILL at random moments while
jobs run; then everything is left alone until no job is under way, and the books are checked. With
`--real` the trainings are real, few, and each must end with the scores of one that nothing
disturbed, to the last bit; else they only wait, between real checkpoints.
"""

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from fault_server import HERE, MODEL_ID, Server, children_of, light_python, wait_for
from light_trainer import STEPS, loss_of

TINY = HERE.parents[1] / "training_worker" / "base_models" / "peftwise-tiny"
REAL_EPOCHS = 20.0
LEASE_SECONDS = 3.0  # a twentieth of the usual one
REST_SECONDS = 2400.0  # until all is over once nothing is killed any more, at the most
SERVER_SHARE = 0.1  # of all kills: each costs some seconds


@dataclass
class Books:
    """What a campaign has seen."""

    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    lost: int = 0  # accepted, and unknown afterwards
    twice: int = 0  # more than one run in the history
    stuck: int = 0
    wrong: int = 0  # succeeded without having taken each step once
    broken: list[str] = field(default_factory=list)  # promises, as the doctor says

    @property
    def is_clean(self) -> bool:
        """Say whether nothing is lost, counted twice, stuck, wrong or broken."""
        return not (self.lost or self.twice or self.stuck or self.wrong or self.broken)

    def __str__(self) -> str:
        """Return all of it on a line."""
        return (
            f"seed {self.seed}: {sum(self.kills.values())} kills {dict(self.kills)}, "
            f"{sum(self.states.values())} jobs {dict(self.states)}, {self.attempts} attempts; "
            f"lost {self.lost}, twice {self.twice}, stuck {self.stuck}, wrong {self.wrong}, "
            f"broken promises {self.broken}"
        )


@dataclass(frozen=True)
class Expected:
    """What a training ends with that nothing disturbs."""

    loss: float
    steps: tuple[int, ...]


LIGHT = Expected(loss=loss_of(STEPS), steps=tuple(range(0, STEPS + 1, 5)))


def undisturbed(server: Server, *, epochs: float) -> Expected:
    """Return what a real training of so many passes ends with."""
    job_id = server.submit(epochs=epochs)
    wait_for(lambda: server.job(job_id)["status"] not in {"queued", "running"})
    run = server.http.get(f"/v1/runs/{server.job(job_id)['peft']['run_id']}").json()
    steps = tuple(p["step"] for p in run["curve"] if p["split"] == "validation")
    return Expected(loss=run["scores"]["best_loss"], steps=steps)


def campaign(
    server: Server,
    *,
    jobs: int,
    kills: int,
    seed: int,
    pause_seconds: tuple[float, float],
    epochs: float = 1.0,
    expected: Expected | None = None,
) -> Books:
    """Submit jobs, kill at random while they run, let the rest end, and count."""
    books, rng = Books(seed=seed), random.Random(seed)
    file_id = server.upload()
    submitted = [server.submit(file_id=file_id, epochs=epochs) for _ in range(jobs)]
    while sum(books.kills.values()) < kills and _under_way(server, submitted):
        time.sleep(rng.uniform(*pause_seconds))
        victim = _kill_one(server, rng)
        if victim:
            books.kills[victim] += 1
    deadline = time.monotonic() + REST_SECONDS
    while _under_way(server, submitted) and time.monotonic() < deadline:
        time.sleep(0.5)
    _count(server, submitted, books, expected or LIGHT)
    return books


def _kill_one(server: Server, rng: random.Random) -> str:
    """Kill a process of a kind chosen at random; return the kind, nothing where none runs."""
    if rng.random() < SERVER_SHARE:
        server.stop(signal.SIGKILL)
        server.start()
        return "server"
    attempts = server.attempts()
    kind = rng.choice(["attempt", "trainer"])
    found = sorted(attempts if kind == "attempt" else children_of(attempts))
    if not found:
        return ""
    with contextlib.suppress(ProcessLookupError):
        os.kill(rng.choice(found), signal.SIGKILL)
        return kind
    return ""


def _under_way(server: Server, submitted: list[str]) -> bool:
    """Say whether any job has not ended, by the pages of the list."""
    after, asked = None, set(submitted)
    while True:
        query = {"limit": "100"} | ({"after": after} if after else {})
        page = server.http.get("/v1/fine_tuning/jobs", params=query).json()
        if any(j["id"] in asked and j["status"] in {"queued", "running"} for j in page["data"]):
            return True
        if not page["has_more"]:
            return False
        after = page["last_id"]


def _count(server: Server, submitted: list[str], books: Books, expected: Expected) -> None:
    runs: Counter[str] = Counter()
    after = None
    while True:
        query = {"limit": "100"} | ({"after": after} if after else {})
        page = server.http.get("/v1/runs", params=query).json()
        runs.update(
            run["origin"]["detail"] for run in page["data"] if run["origin"]["source"] == "worker"
        )
        if not page["has_more"] or not any(
            run["origin"]["source"] == "worker" for run in page["data"]
        ):
            break
        after = page["last_id"]
    for job_id in submitted:
        answer = server.http.get(f"/v1/fine_tuning/jobs/{job_id}")
        if answer.status_code != httpx.codes.OK:
            books.lost += 1
            continue
        _count_one(server, answer.json(), runs[job_id], books, expected)
    found = server.http.get("/v1/doctor").json()["data"]
    books.broken = [
        line["name"] for line in found if not line["is_well"] and line["name"][0] in "123456789"
    ]


def _count_one(server: Server, job: Any, runs: int, books: Books, expected: Expected) -> None:
    state, error = job["status"], (job["error"] or {}).get("code")
    books.states[state if error is None else f"{state} ({error})"] += 1
    books.attempts += job["peft"]["attempts"]
    books.twice += runs > 1
    books.stuck += state in {"queued", "running"}
    if state == "succeeded":
        run = server.http.get(f"/v1/runs/{job['peft']['run_id']}").json()
        steps = tuple(p["step"] for p in run["curve"] if p["split"] == "validation")
        found = Expected(loss=run["scores"]["best_loss"], steps=steps)
        books.wrong += runs != 1 or found != expected
    elif error != "infrastructure":
        books.wrong += 1


def main() -> int:
    """Run the long form and print what it saw."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--real", action="store_true", help="train the shipped base for real")
    add("--jobs", type=int, help="[80, 20 real ones]")
    add("--kills", type=int, help="[280, 20 of real ones]")
    add("--seed", type=int, default=0)
    options = parser.parse_args()
    few, many = (20, 20) if options.real else (80, 280)
    jobs, kills = options.jobs or few, options.kills or many
    with tempfile.TemporaryDirectory() as name:
        if options.real:
            server = real_server(Path(name))
            how: dict[str, Any] = {"pause_seconds": (5.0, 15.0), "epochs": REAL_EPOCHS}
        else:
            server = light_server(Path(name), step_seconds=0.2, parallel_runs=4)
            how = {"pause_seconds": (0.2, 1.4)}
        try:
            if options.real:
                how["expected"] = undisturbed(server, epochs=REAL_EPOCHS)
            books = campaign(server, jobs=jobs, kills=kills, seed=options.seed, **how)
        finally:
            server.close()
    sys.stdout.write(f"{books}\n")
    return 0 if books.is_clean else 1


def real_server(folder: Path) -> Server:
    """Return a server that trains the shipped base, with leases that a busy machine can keep."""
    return Server(
        folder / "data",
        {MODEL_ID: str(TINY)},
        lease_seconds=4 * LEASE_SECONDS,
        checkpoint_seconds=0.5,
        stop_seconds=10.0,
    )


def light_server(
    folder: Path,
    *,
    step_seconds: float = 0.05,
    lease_seconds: float = LEASE_SECONDS,
    **settings: object,
) -> Server:
    """Return a server whose attempts train without a model, at a twentieth of the usual times."""
    return Server(
        folder / "data",
        {MODEL_ID: str(TINY)},
        worker_python=light_python(folder, step_seconds=step_seconds),
        lease_seconds=lease_seconds,
        stop_seconds=3.0,
        **settings,
    )


if __name__ == "__main__":
    sys.exit(main())
