import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from metadata.browsing import Browser, View
from metadata.database import open_database, read_session
from metadata.errors import InvalidRequest, NotFound
from metadata.history import History
from metadata.records import Choice, Configuration, OptimizerChoice, Origin, Run, Scores
from metadata.run_rows import CHUNK_POINTS, FIGURES, figures

HOSTILE = "'; DROP TABLE runs; -- <script>alert(1)</script> \\u0000 %s \U0001f525 \u202e"


@pytest.fixture
def history(database_url: str) -> Iterator[History]:
    engine = open_database(database_url)
    yield History(engine)
    engine.dispose()


@pytest.fixture
def mixed(make_run: Any) -> list[Run]:
    """Forty runs with equal values, missing ones and failures, in no order."""
    runs = [
        make_run(
            number,
            state="diverged" if number % 4 == 0 else "succeeded",
            reason="the loss is not a number" if number % 4 == 0 else "",
            scores=None if number % 4 == 0 else make_run(number % 3).scores,
            costs=None if number % 5 == 0 else make_run().costs,
            core=number % 2 == 0,
            configuration=_configuration(number),
            origin=Origin(source="own" if number % 3 else "PEFT"),
        )
        for number in range(40)
    ]
    random.Random(0).shuffle(runs)
    return runs


def _configuration(number: int) -> Configuration:
    methods = [Choice(name="lora", r=2 ** (number % 5)), Choice(name="ia3"), Choice(name="Full")]
    optimizer = OptimizerChoice(name="adamw", learning_rate=None if number % 7 == 0 else 1e-4)
    return Configuration(method=methods[number % 3], optimizer=optimizer, seed=number % 2)


@pytest.fixture
def browser(history: History, mixed: list[Run]) -> Browser:
    history.add_many(mixed)
    return Browser(history.engine)


def _all_ids(browser: Browser, *, limit: int, sort: str) -> list[str]:
    ids: list[str] = []
    after = None
    while True:
        page = browser.page(View(sort=sort), limit=limit, after=after)
        ids += [run.id for run in page.runs]
        after = page.last_id
        if not page.has_more:
            return ids


def test_a_run_comes_back_as_it_was(history: History, make_run: Any) -> None:
    run = make_run(points=2 * CHUNK_POINTS + 1)

    assert history.add(run)

    assert history.get(run.id) == run
    assert history.curve(run.id) == run.curve


def test_a_failed_run_keeps_its_reason(history: History, make_run: Any) -> None:
    run = make_run(state="out_of_memory", reason="9 GiB", scores=None, costs=None, points=0)

    history.add(run)

    assert history.get(run.id) == run


def test_hostile_text_stays_text(history: History, make_run: Any) -> None:
    run = make_run(
        reason=HOSTILE, versions={HOSTILE: HOSTILE}, origin=Origin(source=HOSTILE, detail=HOSTILE)
    )

    history.add(run)

    assert history.get(run.id) == run
    quoted = HOSTILE.replace("'", "''")
    found = Browser(history.engine).page(View(filter=f"origin_source = '{quoted}'"))
    assert found.runs == (run.model_copy(update={"curve": ()}),)


def test_numbers_keep_every_bit(history: History, make_run: Any) -> None:
    scores = Scores(base_loss=0.1 + 0.2, best_loss=-0.0, last_loss=5e-324)
    method = Choice(name="lora", r=2**70, alpha=-0.0, mode="\ud800 \0")
    run = make_run(
        scores=scores,
        configuration=Configuration(method=method, optimizer=OptimizerChoice(name="adamw")),
    )

    history.add(run)

    assert repr(history.get(run.id)) == repr(run)


def test_the_same_run_is_kept_once(history: History, make_run: Any) -> None:
    first = make_run(reason="first")

    assert history.add(first)
    assert not history.add(make_run(reason="second", points=9))

    assert history.count() == 1
    assert history.get(first.id) == first


def test_many_runs_are_added_without_those_known(history: History, make_run: Any) -> None:
    history.add(make_run(1))

    added = history.add_many([make_run(0), make_run(1), make_run(2), make_run(2, points=9)])

    assert added == 2
    assert history.count() == 3
    assert len(history.curve("run-00002")) == 3
    assert history.add_many([]) == 0


def test_writers_of_the_same_runs_add_each_once(history: History, make_run: Any) -> None:
    runs = [make_run(number) for number in range(100)]
    added: list[int] = []
    orders = [runs, runs[::-1], runs[50:] + runs[:50]]
    writers = [
        threading.Thread(target=lambda order=order: added.append(history.add_many(order)))
        for order in orders
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=30)

    assert sum(added) == 100
    assert history.count() == 100


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"], ids=["nul", "surrogate"])
def test_text_that_no_database_holds_is_refused_and_nothing_is_kept(
    history: History, make_run: Any, text: str
) -> None:
    hostile = make_run(1).model_copy(update={"reason": text})

    with pytest.raises(InvalidRequest, match="reason holds a NUL character or half a surrogate"):
        history.add_many([make_run(0), hostile])

    assert history.count() == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1], {}])
def test_a_configuration_holds_plain_finite_values_only(value: Any) -> None:
    with pytest.raises(ValidationError):
        Choice(name="lora", r=value)


def test_an_unknown_run_is_said(history: History) -> None:
    for wanted in ("run-1", "", "a\0b", "a\ud800b", "x" * 5000):
        with pytest.raises(NotFound, match="No run has the id"):
            history.get(wanted)
        with pytest.raises(NotFound, match="No run has the id"):
            history.curve(wanted)


def test_every_figure_sorts_both_ways_and_no_run_is_lost(
    browser: Browser, mixed: list[Run]
) -> None:
    for name in FIGURES:
        values = {run.id: figures(run)[name] for run in mixed}
        known = [key for _, key in sorted((v, k) for k, v in values.items() if v is not None)]
        unknown = sorted(k for k, v in values.items() if v is None)

        assert _all_ids(browser, limit=7, sort=name) == known + unknown, name
        backwards = known[::-1] + unknown[::-1]
        assert _all_ids(browser, limit=7, sort=f"-{name}") == backwards, name


def test_newest_runs_come_first_without_their_curves(browser: Browser) -> None:
    page = browser.page(View(), limit=3)

    assert [run.id for run in page.runs] == ["run-00039", "run-00038", "run-00037"]
    assert all(run.curve == () for run in page.runs)
    assert page.has_more
    assert page.last_id == "run-00037"


def test_a_run_added_meanwhile_moves_no_page(history: History, make_run: Any) -> None:
    browser = Browser(history.engine)
    history.add_many(make_run(number) for number in range(4))
    first = browser.page(View(), limit=2)

    history.add(make_run(99))
    second = browser.page(View(), limit=2, after=first.last_id)

    assert [run.id for run in second.runs] == ["run-00001", "run-00000"]
    assert not second.has_more


def test_an_empty_history_has_one_empty_page(history: History) -> None:
    page = Browser(history.engine).page(View())

    assert (page.runs, page.has_more, page.last_id) == ((), False, None)


def test_a_stream_yields_every_run_in_order_of_ids(history: History, mixed: list[Run]) -> None:
    history.add_many(mixed)

    streamed = list(history.stream())

    expected = sorted(mixed, key=lambda run: run.id)
    assert streamed == [run.model_copy(update={"curve": ()}) for run in expected]


def test_runs_can_be_added_while_a_stream_is_open(history: History, mixed: list[Run]) -> None:
    history.add_many(mixed[:20])
    stream = history.stream()
    next(stream)

    history.add_many(mixed[20:])
    stream.close()

    assert history.count() == 40


def test_the_newest_page_is_read_from_an_index(sqlite_url: str) -> None:
    engine = open_database(sqlite_url)
    with read_session(engine) as session:
        query = "EXPLAIN QUERY PLAN SELECT * FROM runs ORDER BY created_at DESC, id DESC LIMIT 20"
        plan = " ".join(row[3] for row in session.execute(text(query)))
    engine.dispose()

    assert "USING INDEX ix_runs_created_at_id" in plan
