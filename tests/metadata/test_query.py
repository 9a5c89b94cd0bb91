"""The filter language on both databases, held against the same conditions in Python."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metadata.browsing import Browser, View
from metadata.database import open_database
from metadata.errors import InvalidRequest
from metadata.history import History
from metadata.query import compile_filter, known_fields
from metadata.query.errors import BadFilter
from metadata.records import Choice, Run

Holds = Callable[[Run], bool]


def r(run: Run) -> Any:
    return run.configuration.method.values.get("r")


FILTERS: dict[str, Holds] = {
    "score > 0.5": lambda run: run.score is not None and run.score > 0.5,
    "score is null": lambda run: run.score is None,
    "not score is null and seed = 0": lambda run: run.score is not None,
    "score is not null or state = 'failed'": lambda run: run.state != "diverged",
    "state != 'failed'": lambda run: run.state != "failed",
    "not (state = 'failed' or method = 'ia3')": lambda run: (
        run.state != "failed" and run.configuration.method.name != "ia3"
    ),
    "method in ('ia3', 'lora') AND core = false": lambda run: True,
    "configuration.method.r > 10": lambda run: isinstance(r(run), int) and r(run) > 10,
    "configuration.method.r = 'auto'": lambda run: r(run) == "auto",
    "configuration.method.r is null": lambda run: r(run) is None,
    "configuration.method.r in (8, 16)": lambda run: r(run) in (8, 16),
    "configuration.method.r not between 9 and 20": lambda run: r(run) in (8, 32),
    "configuration.method.use_x = true": lambda run: (
        run.configuration.method.values.get("use_x") is True
    ),
    "dataset_name like 'MIX%'": lambda run: False,
    "model_id like '%TINY'": lambda run: run.task.model.id.endswith("tiny"),
    'reason like "%50\\% of%"': lambda run: "50% of" in run.reason,
    "reason = 'it''s over'": lambda run: run.reason == "it's over",
    "task.dataset.compression_ratio >= 0": lambda run: True,
    "scores.last_loss < 2.95 and scores.best_loss < 2.3": lambda run: (
        run.scores is not None and run.scores.best_loss < 2.3
    ),
    "versions.torch = '2.13.0' and costs.steps = 75": lambda run: True,
    "created_at >= '2026-01-01' and created_at < '2100-01-01T00:00:00Z'": lambda run: (
        run.created_at >= datetime(2026, 1, 1, tzinfo=UTC)
    ),
    "origin.source = 'own'": lambda run: True,
    "learning_rate between 1e-4 and 3e-4": lambda run: True,
}
WRONG = {
    "": 1,
    "score >": 8,
    "score > 1 and": 14,
    "nothing = 1": 1,
    "score = 'x'": 9,
    "state = failed": 9,
    "state = 'failed": 9,
    "(score > 1": 11,
    "score > 1)": 10,
    "score = null": 9,
    "state > 1": 9,
    "core > true": 1,
    "core = 1": 8,
    "score like '1%'": 12,
    "score in ()": 11,
    "score in (1": 12,
    "created_at > 'yesterday'": 14,
    "score > 1e999": 9,
    "score ; drop": 7,
    "configuration.method.r in (1, 'a')": 31,
    "score between 1": 16,
    "not": 4,
    "1 = score": 1,
}


@pytest.fixture
def runs(make_run: Any) -> list[Run]:
    made = []
    for number in range(24):
        fields: dict[str, Any] = {}
        values: dict[str, Any] = {"r": [8, 16, 32][number % 3], "use_x": number % 2 == 0}
        if number % 5 == 4:
            fields |= {"state": "failed", "scores": None, "reason": "it's over"}
        if number % 7 == 6:
            fields |= {"state": "diverged", "scores": None, "reason": "50% of steps"}
        name = "ia3" if number % 6 == 5 else "lora"
        if name == "ia3":
            values = {"r": "auto"} if number % 4 == 3 else {}
        one = make_run(number, **fields)
        method = Choice.model_validate({"name": name, **values})
        changed = one.configuration.model_copy(update={"method": method})
        made.append(one.model_copy(update={"configuration": changed}))
    return made


@pytest.fixture
def browser(database_url: str, runs: list[Run]) -> Any:
    engine = open_database(database_url)
    History(engine).add_many(runs)
    yield Browser(engine)
    engine.dispose()


def test_a_filter_finds_what_holds(browser: Browser, runs: list[Run]) -> None:
    for text, holds in FILTERS.items():
        found = {run.id for run in browser.page(View(filter=text), limit=100).runs}
        assert found == {run.id for run in runs if holds(run)}, text
        assert browser.count(View(filter=text)) == len(found)


@pytest.mark.parametrize(("text", "position"), WRONG.items())
def test_a_wrong_filter_is_told_by_its_character(text: str, position: int) -> None:
    with pytest.raises(BadFilter) as caught:
        compile_filter(text)
    assert caught.value.position == position, str(caught.value)
    assert f"At character {position}" in str(caught.value)


def test_an_unknown_field_is_told_the_near_ones() -> None:
    with pytest.raises(BadFilter, match=r"Did you mean task\.dataset\.compression_ratio"):
        compile_filter("compression_ratio > 1")


@given(st.text(max_size=60) | st.from_regex(r"(score|not|\(|\)|and|or|in|1|'a'|=|,| ){1,20}"))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_filter_or_a_bad_filter(text: str) -> None:
    with suppress(BadFilter):
        compile_filter(text)


def test_what_is_too_much_is_refused() -> None:
    for text in ("(" * 60 + "score > 1" + ")" * 60, " or ".join(["seed = 1"] * 300), "x" * 5000):
        with pytest.raises(BadFilter):
            compile_filter(text)


@pytest.mark.parametrize(
    "sort",
    [
        "score",
        "-score",
        "configuration.method.r",
        "-configuration.method.r",
        "-created_at",
        "reason",
        "scores.best_loss",
        "-versions.torch",
        "core",
    ],
)
def test_pages_hold_every_run_once_empty_values_last(
    browser: Browser, runs: list[Run], sort: str
) -> None:
    seen: list[str] = []
    after = None
    while True:
        found = browser.page(View(sort=sort), limit=5, after=after)
        seen += [run.id for run in found.runs]
        after = found.last_id
        if not found.has_more:
            break
    assert sorted(seen) == sorted(run.id for run in runs)
    assert seen == [run.id for run in browser.stream(View(sort=sort))]
    if sort.endswith("score"):
        scores = [run.score for run in browser.stream(View(sort=sort))]
        known = [score for score in scores if score is not None]
        assert scores == known + [None] * (len(scores) - len(known))
        assert known == sorted(known, reverse=sort.startswith("-"))


def test_every_known_field_can_be_asked_and_sorted_by(browser: Browser) -> None:
    for name in known_fields():
        browser.count(View(filter=f"{name} is not null"))
        browser.page(View(sort=f"-{name}"), limit=3)


def test_what_cannot_be_is_refused(browser: Browser) -> None:
    for wrong in ({"limit": 0}, {"limit": 10**6}, {"after": "nobody"}, {"after": "a b"}):
        with pytest.raises(InvalidRequest):
            browser.page(View(), **wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="no field"):
        browser.page(View(sort="drop"))


def test_some_runs_come_in_the_order_asked(browser: Browser, runs: list[Run]) -> None:
    ids = [runs[3].id, "nobody", runs[1].id]

    assert [run.id for run in browser.some(ids)] == [runs[3].id, runs[1].id]
