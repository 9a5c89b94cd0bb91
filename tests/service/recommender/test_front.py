"""The Pareto front of an answer: over HTTP, in a terminal and on the page."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import update

from metadata.database import write_session
from metadata.knowledge import Knowledge
from service import terminal
from service.app import create_app
from service.recommender.question import build_question
from service.recommender.ranking import LONGEST_FRONT, front
from service.recommender.recommend import Recommendation, recommend
from service.recommender.schemas import RecommendationRequest
from service.settings import Settings
from service.tables import RecommendationRow
from tests.service.pages.browsing import EXAMPLES, jsonl, parse
from tests.service.pages.browsing import ask as fill_in
from tests.service.recommender.conftest import Ask

URL = "/v1/recommendations"


@pytest.fixture(scope="module")
def app(shared_settings: Settings) -> FastAPI:
    return create_app(shared_settings)


@pytest.fixture(scope="module")
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture
def found(knowledge: Knowledge, request_: RecommendationRequest) -> Recommendation:
    question = build_question(request_)
    return recommend(question, knowledge, rng=question.rng(knowledge.version))


def test_the_front_is_what_fits_and_none_beats_the_fastest_first(ask: Ask) -> None:
    given = ask(budget={"memory_gib": 20, "train_minutes": 10})

    costs = [
        (one.expected_regret, one.train_seconds.expected, one.peak_memory_bytes.expected)
        for one in given.front
    ]
    assert 1 < len(costs) <= LONGEST_FRONT
    assert [cost[1] for cost in costs] == sorted(cost[1] for cost in costs)
    for one in costs:
        for other in costs:
            assert one == other or any(a > b for a, b in zip(other, one, strict=True))
    ranks = {one.configuration.key: one.rank for one in given.configurations}
    assert [one.rank for one in given.front] == [
        ranks.get(one.configuration.key) for one in given.front
    ]
    assert any(one.rank for one in given.front)
    assert all(one.train_seconds.high <= 600 for one in given.front)
    assert all(one.peak_memory_bytes.high <= 20 * 2**30 for one in given.front)


def test_a_long_front_keeps_its_ends_and_the_order(found: Recommendation) -> None:
    rows = np.flatnonzero(found.fits_C)  # as many as there are, as if none beat another
    by_time = sorted(rows.tolist(), key=lambda row: float(found.forecast.seconds[row]))

    thinned = front(found.forecast, found.fits_C)

    places = [by_time.index(row) for row in thinned]
    assert len(rows) > LONGEST_FRONT == len(thinned)
    assert (places[0], places[-1]) == (0, len(rows) - 1)
    steps = np.diff(places)
    assert steps.min() >= 1
    assert steps.max() - steps.min() <= 1


def test_points_of_the_front_cost_their_time_where_a_price_is_known(ask: Ask) -> None:
    priced = ask(hardware={"device": "NVIDIA L40S", "count": 2, "usd_per_hour": 1.5}).front

    for one in priced:
        assert one.cost_usd == pytest.approx(one.train_seconds.expected / 3600 * 1.5 * 2)
    assert {one.cost_usd for one in ask().front} == {None}


def test_an_answer_of_before_there_was_a_front_is_still_read(
    app: FastAPI, client: TestClient, request_json: dict[str, Any]
) -> None:
    given = client.post(URL, json=request_json).json()
    without = {name: value for name, value in given.items() if name != "front"}
    with write_session(app.state.services.engine) as session:
        session.execute(update(RecommendationRow).values(answer=without))

    read = client.get(f"{URL}/{given['id']}").json()

    assert given["front"]
    assert read == {**without, "front": []}


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_command_shows_the_front_where_asked_within_the_terminal(
    run: Callable[..., Any], tmp_path: Path, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "weeks.jsonl"
    file.write_bytes(jsonl(EXAMPLES))
    asked = ("recommend", str(file), "--model", "peftwise-tiny", "--device", "cpu")
    monkeypatch.setenv("COLUMNS", str(columns))

    plain, shown = run(*asked).out, run(*asked, "--front").out

    assert terminal.FRONT not in plain
    assert terminal.FRONT in shown
    assert all(len(line) <= columns for line in shown.splitlines()[:-1])
    answer = json.loads(run(*asked, "--json").out)
    assert shown.count("\n") > plain.count("\n") + len(answer["front"])


def test_the_page_holds_the_front_as_a_folded_table(client: TestClient) -> None:
    page = parse(fill_in(client, data=jsonl(EXAMPLES)))

    (table,) = page.find("div", **{"aria-label": "Pareto front of regret, time and memory"})
    (summary,) = [one for one in page.find("summary") if "time and memory" in one.text]
    assert summary.text == "Traded against time and memory"
    assert " for " in table.text
    assert "epoch" in table.text
