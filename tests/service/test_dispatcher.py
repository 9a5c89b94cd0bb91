"""The real queue and real processes, with small programs in the worker's place."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine

from service.executors.dispatcher import Dispatcher
from service.executors.local import LocalExecutor
from service.jobs.attempts import Attempts
from service.jobs.losses import Losses
from service.jobs.queue import Queue
from service.settings import Settings

SLEEPS = "import time; time.sleep(60)"
DIES = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
LEAVES = "raise SystemExit(4)"
NAME = "local:here"


class Script(LocalExecutor):
    """Runs a script instead of the worker; `lacks` is what it says is not installed."""

    def __init__(self, settings: Settings, script: str, lacks: str | None = None) -> None:
        super().__init__(settings)
        self.script = script
        self.lacks = lacks

    def _worker(self) -> list[str]:
        return ["-c", self.script]

    def missing(self) -> str | None:
        return self.lacks


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One kind of database is enough here: the queue is held to both."""
    return sqlite_url


@pytest.fixture
def dispatch(
    attempts: Attempts, losses: Losses, settings: Settings
) -> Iterator[Callable[..., Dispatcher]]:
    """Return a maker of dispatchers, not started; their processes are stopped at the end."""
    made: list[Script] = []

    def make(script: str, lacks: str | None = None, **changes: Any) -> Dispatcher:
        made.append(Script(settings.model_copy(update=changes), script, lacks))
        return Dispatcher(attempts, losses, made[-1], name=NAME)

    yield make
    for executor in made:
        executor.close()


def step_until(dispatcher: Dispatcher, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        dispatcher.step()
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("script", "words"),
    [(DIES, "killed by signal 9 (SIGKILL)"), (LEAVES, "ended with exit code 4")],
)
def test_a_worker_that_dies_leaves_a_job_that_says_so_and_is_tried_again(
    queue: Queue, dispatch: Any, make_order: Any, clock: Any, script: str, words: str
) -> None:
    job = queue.submit(make_order())
    dispatcher = dispatch(script)

    for retries in (1, 2, 3):
        step_until(dispatcher, partial(lambda many: queue.get(job.id).retries == many, retries))
        assert words in queue.events(job.id).events[0].message
        clock.pass_seconds(10_000)
    step_until(dispatcher, lambda: queue.get(job.id).state == "failed")

    ended = queue.get(job.id)
    assert (ended.error_code, ended.attempts) == ("infrastructure", 4)
    assert words in ended.reason
    assert "submit the job again" in ended.reason


def test_jobs_run_one_after_another(
    queue: Queue, dispatch: Any, make_order: Any, clock: Any
) -> None:
    jobs = []
    for _ in range(3):
        jobs.append(queue.submit(make_order()))
        clock.pass_seconds(1)
    dispatcher = dispatch(SLEEPS)

    dispatcher.step()
    dispatcher.step()

    assert [queue.get(job.id).attempts for job in jobs] == [1, 0, 0]


def test_after_a_lost_worker_the_next_job_starts(
    queue: Queue, dispatch: Any, make_order: Any
) -> None:
    jobs = [queue.submit(make_order()) for _ in range(3)]

    step_until(dispatch(LEAVES), lambda: all(queue.get(j.id).retries == 1 for j in jobs))


def test_the_process_of_a_cancelled_job_is_stopped(
    queue: Queue, attempts: Attempts, dispatch: Any, make_order: Any
) -> None:
    job = queue.submit(make_order())
    dispatcher = dispatch(SLEEPS)
    dispatcher.step()

    queue.cancel(job.id)
    step_until(dispatcher, lambda: not dispatcher._executor._children)

    assert queue.get(job.id).state == "cancelled"


def test_a_worker_that_falls_silent_loses_its_job_and_is_stopped(
    queue: Queue, dispatch: Any, make_order: Any, clock: Any, lease_seconds: float
) -> None:
    job = queue.submit(make_order())
    dispatcher = dispatch(SLEEPS)
    dispatcher.step()

    clock.pass_seconds(2 * lease_seconds + 1)  # as long as an offer waits
    step_until(dispatcher, lambda: not dispatcher._executor._children)

    assert queue.get(job.id).retries == 1
    assert "not heard of for longer" in queue.events(job.id).events[0].message


def test_without_torch_the_job_fails_with_the_next_step(
    queue: Queue, dispatch: Any, make_order: Any
) -> None:
    job = queue.submit(make_order())

    dispatch(SLEEPS, lacks="Run `pip install peftwise[worker]`.").step()

    ended = queue.get(job.id)
    assert (ended.error_code, ended.reason) == (
        "worker_missing",
        "Run `pip install peftwise[worker]`.",
    )


def test_what_an_earlier_server_left_running_is_queued_again_at_the_start(
    queue: Queue, attempts: Attempts, dispatch: Any, make_order: Any
) -> None:
    jobs = [queue.submit(make_order()) for _ in range(3)]
    for started_by in (NAME, NAME, "worker:elsewhere"):
        offer = attempts.offer(started_by=started_by)
        assert offer is not None
        if started_by != NAME:
            attempts.claim(offer.code)

    dispatcher = dispatch(SLEEPS, parallel_runs=1)
    dispatcher.start()
    dispatcher.stop()

    found = sorted((queue.get(job.id).state, queue.get(job.id).retries) for job in jobs)
    assert found == [("queued", 1), ("queued", 1), ("running", 0)]


def test_a_stop_leaves_no_process_and_queues_the_job_again_without_a_loss(
    queue: Queue, dispatch: Any, make_order: Any
) -> None:
    job = queue.submit(make_order())
    dispatcher = dispatch(SLEEPS)
    dispatcher.start()
    deadline = time.monotonic() + 20
    while not dispatcher._executor._children:
        assert time.monotonic() < deadline
        time.sleep(0.02)

    dispatcher.stop()

    assert not dispatcher._executor._children
    assert (queue.get(job.id).state, queue.get(job.id).retries) == ("queued", 0)


def test_without_an_executor_leases_still_expire(
    queue: Queue, attempts: Attempts, losses: Losses, make_order: Any, clock: Any
) -> None:
    job = queue.submit(make_order())
    offer = attempts.offer(started_by="worker:box")
    assert offer is not None
    attempts.claim(offer.code)
    clock.pass_seconds(10_000)

    Dispatcher(attempts, losses, None, name="none").step()

    assert queue.get(job.id).state == "queued"


def test_the_loop_outlives_a_database_that_is_away(
    queue: Queue, dispatch: Any, make_order: Any, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.executors.dispatcher.PAUSE_SECONDS", 0.01)
    dispatcher = dispatch(LEAVES)
    real, failures = dispatcher._losses.expired, []

    def away() -> list[str]:
        if len(failures) < 3:
            failures.append(1)
            raise ConnectionError("the database is away")
        found: list[str] = real()
        return found

    monkeypatch.setattr(dispatcher._losses, "expired", away)
    job = queue.submit(make_order())
    dispatcher.start()
    deadline = time.monotonic() + 20
    while queue.get(job.id).retries == 0:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    dispatcher.stop()

    assert len(failures) == 3
