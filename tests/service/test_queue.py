from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from metadata.errors import Conflict, InvalidRequest, NotFound, OverQuota
from service.jobs.attempts import Attempts
from service.jobs.idempotency import OrderKey, key_of
from service.jobs.queue import Queue, database_time


def test_a_submitted_job_is_queued_with_its_order_and_first_event(
    queue: Queue, make_order: Any, clock: Any
) -> None:
    order = make_order(suffix="support", labels={"team": "blue"}, forecast_seconds=12.5)

    job = queue.submit(order)

    assert (job.state, job.order, job.created_at) == ("queued", order, clock.now)
    assert queue.get(job.id) == job
    [event] = queue.events(job.id).events
    assert (event.number, event.message) == (1, "Queued: lora on peftwise-tiny.")


def test_jobs_are_paged_newest_first_without_gap_or_repeat(
    queue: Queue, make_order: Any, clock: Any
) -> None:
    ids = []
    for number in range(7):
        ids.append(queue.submit(make_order()).id)
        clock.pass_seconds(number % 2)  # some share their time

    seen: list[str] = []
    has_more = True
    while has_more:
        page = queue.page(limit=3, after=seen[-1] if seen else None)
        seen += [job.id for job in page.jobs]
        has_more = page.has_more

    assert sorted(seen) == sorted(ids)
    assert len(seen) == 7
    times = [queue.get(job_id).created_at for job_id in seen]
    assert times == sorted(times, reverse=True)


def test_events_are_paged_newest_first(queue: Queue, attempts: Attempts, make_order: Any) -> None:
    job = queue.submit(make_order())
    offer = attempts.offer()
    assert offer is not None
    attempts.claim(offer.code)
    queue.cancel(job.id)

    page = queue.events(job.id, limit=2)

    assert [event.number for event in page.events] == [3, 2]
    assert page.has_more
    rest = queue.events(job.id, before=2)
    assert [event.number for event in rest.events] == [1]
    assert not rest.has_more


@pytest.mark.parametrize("limit", [0, 101, -5])
def test_a_page_of_another_size_is_refused(queue: Queue, limit: int) -> None:
    with pytest.raises(InvalidRequest, match=f"limit is 1 to 100, got {limit}"):
        queue.page(limit=limit)


def test_an_unknown_job_is_not_found(queue: Queue) -> None:
    for ask in (queue.get, queue.cancel, queue.events, lambda job_id: queue.page(after=job_id)):
        with pytest.raises(NotFound, match="No job has the id 'ftjob-x'"):
            ask("ftjob-x")


def test_a_cancelled_job_stays_cancelled(queue: Queue, make_order: Any) -> None:
    job = queue.submit(make_order())

    assert queue.cancel(job.id).state == "cancelled"

    with pytest.raises(Conflict, match="cancelled cannot cancel"):
        queue.cancel(job.id)
    assert len(queue.events(job.id).events) == 2


def test_a_file_is_in_use_until_the_last_of_its_jobs_ends(queue: Queue, make_order: Any) -> None:
    first = queue.submit(make_order(training_file="file-a"))
    second = queue.submit(make_order(training_file="file-b", validation_file="file-a"))

    queue.cancel(first.id)
    assert queue.uses_file("file-a") == second.id
    queue.cancel(second.id)
    assert queue.uses_file("file-a") is None


def test_the_time_comes_from_the_database_and_moves(engine: Engine) -> None:
    with engine.connect() as connection:
        session = Session(connection)
        first, second = database_time(session), database_time(session)

    assert first < second  # within one transaction too
    assert first.tzinfo is not None


def test_the_highest_priority_goes_first(queue: Queue, attempts: Any, make_order: Any) -> None:
    jobs = [queue.submit(make_order(priority=priority)) for priority in (0, 5, -1)]

    offered = [attempts.offer().job_id for _ in jobs]

    assert offered == [jobs[1].id, jobs[0].id, jobs[2].id]


def test_a_caller_may_have_so_many_jobs_under_way(engine: Engine, make_order: Any) -> None:
    queue = Queue(engine, live_jobs=2)
    first = queue.submit(make_order())
    queue.submit(make_order())

    with pytest.raises(OverQuota, match="may have 2 jobs that have not ended, you have 2"):
        queue.submit(make_order())
    queue.submit(make_order(owner="key-other"))
    queue.cancel(first.id)
    queue.submit(make_order())


def order_key(body: dict[str, Any], key: str = "k-1", owner: str = "local") -> OrderKey:
    made = key_of(owner, key, body)
    assert made is not None
    return made


def test_the_same_order_under_the_same_key_is_one_job(queue: Queue, make_order: Any) -> None:
    key = order_key({"model": "a"})

    jobs = [queue.submit(make_order(), key=key) for _ in range(3)]

    assert len({job.id for job in jobs}) == 1
    assert queue.ordered(key) == queue.get(jobs[0].id)
    assert queue.submit(make_order(), key=order_key({"model": "a"}, owner="else")).id != jobs[0].id


def test_another_order_under_the_same_key_is_refused(queue: Queue, make_order: Any) -> None:
    queue.submit(make_order(), key=order_key({"model": "a"}))

    with pytest.raises(InvalidRequest, match="came with another order before"):
        queue.submit(make_order(), key=order_key({"model": "b"}))


def test_a_key_is_kept_for_a_day(queue: Queue, make_order: Any, clock: Any) -> None:
    key = order_key({"model": "a"})
    first = queue.submit(make_order(), key=key)
    clock.pass_seconds(24 * 3600 - 1)
    assert queue.submit(make_order(), key=key).id == first.id
    clock.pass_seconds(2)

    assert queue.submit(make_order(), key=key).id != first.id


def test_many_threads_with_one_key_make_one_job(queue: Queue, make_order: Any) -> None:
    key = order_key({"model": "a"})
    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda _: queue.submit(make_order(), key=key), range(16)))

    assert len({job.id for job in jobs}) == 1
    assert len(queue.page().jobs) == 1


def test_the_key_of_a_deleted_job_makes_no_second_one(queue: Queue, make_order: Any) -> None:
    key = order_key({"model": "a"})
    job = queue.submit(make_order(), key=key)
    queue.cancel(job.id)
    queue.delete(job.id)

    with pytest.raises(Conflict, match="was deleted"):
        queue.ordered(key)


def test_only_a_job_that_has_ended_can_be_deleted(queue: Queue, make_order: Any) -> None:
    job = queue.submit(make_order())

    with pytest.raises(Conflict, match="Cancel it first"):
        queue.delete(job.id)
    queue.cancel(job.id)
    queue.delete(job.id)
    with pytest.raises(NotFound):
        queue.get(job.id)
