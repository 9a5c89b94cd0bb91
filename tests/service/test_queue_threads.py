"""Many threads and processes at the same few jobs: who holds what, and in which order."""

import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
import queue_hammer
from queue_hammer import TIMING, Hammer
from sqlalchemy import Engine, event, insert, select

from metadata.database import open_database, read_session, write_session
from metadata.history import History
from service.doctor.examine import promises
from service.jobs.attempts import Attempts
from service.jobs.idempotency import key_of
from service.jobs.losses import Losses
from service.jobs.queue import Queue
from service.jobs.recording import Recorder
from service.jobs.timing import Timing
from service.tables import AttemptRow, EventRow, IdempotencyRow

THREADS, PROCESSES = 4, 2


def at_once(call: Callable[[], Any], *, threads: int = THREADS) -> list[Any]:
    """Call from several threads that start together, and return all answers."""
    start = threading.Barrier(threads)

    def one(_: int) -> Any:
        start.wait()
        return call()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, range(threads)))


def test_of_many_offers_at_once_each_is_of_another_job(engine: Engine, make_order: Any) -> None:
    queue = Queue(engine)
    attempts = Attempts(engine, timing=Timing(60.0))
    jobs = {queue.submit(make_order()).id for _ in range(60)}

    def take_all() -> list[str]:
        taken = []
        while (offer := attempts.offer()) is not None:
            taken.append(offer.job_id)
        return taken

    offered = Counter(job_id for taken in at_once(take_all, threads=8) for job_id in taken)

    assert offered == Counter(jobs)


def sleep_before_it_locks(engine: Engine, seconds: float) -> None:
    """Let each offer of an engine rest between what it sees and what it locks."""
    sleep = f"AND (SELECT true FROM pg_sleep({seconds})) ORDER BY"

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def slow(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> tuple[str, Any]:
        if "SKIP LOCKED" in statement:
            statement = statement.replace("ORDER BY", sleep)
        return statement, parameters


def test_an_offer_that_is_made_while_another_is_looked_for_is_not_made_twice(
    postgres_url: str, make_order: Any
) -> None:
    engine, slow_engine = open_database(postgres_url), open_database(postgres_url)
    sleep_before_it_locks(slow_engine, 0.5)
    jobs = [Queue(engine).submit(make_order()).id for _ in range(2)]
    timing = Timing(60.0)

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(Attempts(slow_engine, timing=timing).offer)
        time.sleep(0.2)
        quick = Attempts(engine, timing=timing).offer()
        offered = slow.result(10)

    assert quick is not None
    assert offered is not None
    assert [quick.job_id, offered.job_id] == jobs
    engine.dispose()
    slow_engine.dispose()


class Reader:
    """Reads the events after the last one it has seen, and sees that none was passed over."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.seen: Counter[str] = Counter()
        self.is_over = threading.Event()

    def run(self) -> None:
        while not self.is_over.wait(0.02):
            self.look()

    def look(self) -> None:
        with read_session(self._engine) as session:
            query = select(EventRow.job_id, EventRow.number).order_by(EventRow.number)
            for job_id, number in session.execute(query).all():
                if number > self.seen[job_id]:
                    assert number == self.seen[job_id] + 1, f"{job_id} hid event {number - 1}"
                    self.seen[job_id] = number


def holders_overlap(engine: Engine) -> list[str]:
    """Return the jobs whose attempts overlap, or are numbered in another order than begun."""
    query = select(AttemptRow).order_by(AttemptRow.job_id, AttemptRow.generation)
    with read_session(engine) as session:
        rows = session.scalars(query).all()
    return [
        after.job_id
        for before, after in pairwise(rows)
        if before.job_id == after.job_id
        and (
            after.generation != before.generation + 1
            or before.ended_at is None
            or before.ended_at > after.created_at
        )
    ]


@pytest.mark.parametrize("acts", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_many_at_the_same_jobs_keep_every_promise(
    engine: Engine, database_url: str, make_order: Any, acts: int
) -> None:
    queue, losses = Queue(engine), Losses(engine, timing=TIMING)
    for number in range(max(24, acts // 2)):  # each is ended by one act of some twenty
        queue.submit(make_order(priority=number % 2))
    reader, seeds = Reader(engine), iter(range(THREADS))
    command = [sys.executable, queue_hammer.__file__, database_url]
    processes = [
        subprocess.Popen([*command, str(seed), str(acts)]) for seed in range(100, 100 + PROCESSES)
    ]
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(reader.run)
        at_once(lambda: Hammer(engine, random.Random(next(seeds))).run(acts))
        codes = [process.wait(600) for process in processes]
        reader.is_over.set()
        reading.result(30)
    recorder = Recorder(engine, History(engine))
    at_once(recorder.catch_up)
    for attempt_id in losses.alive():  # leases of half a second may long have run out
        losses.lose(attempt_id, reason="All is over.", is_loss=False)

    reader.look()
    assert codes == [0] * PROCESSES
    assert holders_overlap(engine) == []
    assert [line for line in promises(engine, TIMING) if not line.is_well] == []
    assert sum(reader.seen.values()) > 2 * acts


def test_old_keys_are_forgotten_by_many_at_once(
    engine: Engine, make_order: Any, clock: Any
) -> None:
    queue = Queue(engine, clock=clock)
    old = {"owner": "local", "body_hash": "", "job_id": "", "created_at": clock.now}
    keys = [f"key-{number}" for number in range(2000)]
    random.Random(0).shuffle(keys)
    with write_session(engine) as session:
        session.execute(insert(IdempotencyRow), [old | {"key": key} for key in keys])
    clock.now += timedelta(days=2)
    numbers = iter(range(100))

    def order() -> str:
        key = key_of("local", f"new-{next(numbers)}", {})
        return queue.submit(make_order(), key=key).id

    assert len(set(at_once(order, threads=8))) == 8
    with read_session(engine) as session:
        assert len(session.scalars(select(IdempotencyRow.key)).all()) == 8
