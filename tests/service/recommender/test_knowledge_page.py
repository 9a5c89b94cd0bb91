import dataclasses
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from metadata.knowledge import SHIPPED_KNOWLEDGE, Knowledge
from metadata.surrogates.portfolio import Portfolio, Scenarios
from service.recommender.calibration import LEVELS, calibrate


@pytest.fixture(scope="module")
def shipped() -> Knowledge:
    return Knowledge.load(SHIPPED_KNOWLEDGE)


def with_regrets(known: Knowledge, regret_TK: Any, group_T: Any) -> Knowledge:
    """Return knowledge whose core had other regrets."""
    portfolio = known.surrogates["portfolio"]
    assert isinstance(portfolio, Portfolio)
    tasks = np.zeros((len(group_T), portfolio.scenarios.task_TT.shape[1]))
    keys = tuple(f"key-{k}" for k in range(regret_TK.shape[1]))
    scenarios = Scenarios(keys=keys, regret_TK=regret_TK, group_T=group_T, task_TT=tasks)
    surrogates = {
        **known.surrogates,
        "portfolio": dataclasses.replace(portfolio, scenarios=scenarios),
    }
    return dataclasses.replace(known, surrogates=surrogates)


def test_a_forecast_is_the_mean_of_the_datasets_that_were_not_left_out(shipped: Knowledge) -> None:
    regret_TK = np.array([[0.0, 2.0], [0.2, 1.0], [0.4, 1.8], [np.nan, 1.2]])
    group_T = np.array([0, 0, 1, 2])
    known = with_regrets(shipped, regret_TK, group_T)

    found = calibrate(known)

    # Dataset 0 is forecast by 1 and 2, 1 by 0 and 2, 2 by 0 and 1; what was not run is not checked.
    forecasts = {0: (0.4, 1.5), 1: (0.1, (1.5 + 1.2) / 2), 2: (None, (1.5 + 1.8) / 2)}
    expected = sorted(
        forecast
        for group, row in zip(group_T, regret_TK, strict=True)
        for forecast, true in zip(forecasts[group], row, strict=True)
        if np.isfinite(true)
    )
    assert found.count == 7
    assert found.datasets == 3
    assert sum(one.count * one.forecast for one in found.bins) == pytest.approx(sum(expected))


def test_honest_noise_is_covered_as_often_as_said(shipped: Knowledge) -> None:
    rng = np.random.default_rng(0)
    group_T = np.repeat(np.arange(40), 2)
    regret_TK = 1.0 + 0.2 * rng.standard_normal((80, 20))

    found = calibrate(with_regrets(shipped, regret_TK, group_T))

    for one in found.coverage:
        assert one.observed == pytest.approx(one.level, abs=0.03)


def test_a_dataset_unlike_all_others_is_seen_to_be_missed(shipped: Knowledge) -> None:
    rng = np.random.default_rng(0)
    regret_TK = 0.5 + 0.05 * rng.standard_normal((8, 20))
    regret_TK[7] = 2.0

    found = calibrate(with_regrets(shipped, regret_TK, np.arange(8)))

    coverage = {one.level: one.observed for one in found.coverage}
    assert coverage[0.95] < 0.9
    assert found.mean_miss > 0.15


def test_the_page_shows_the_versions_and_the_calibration(client: TestClient) -> None:
    version = client.get("/v1/knowledge").json()["data"][0]["version"]

    page = client.get("/knowledge").text
    found = client.get(f"/v1/knowledge/{version}/calibration").json()

    assert version in page
    assert page.count("<circle") == len(found["bins"]) + len(LEVELS)
    assert [one["level"] for one in found["coverage"]] == list(LEVELS)
    assert client.get("/knowledge?version=no-such").status_code == 404
    assert client.get("/v1/knowledge/no-such/calibration").status_code == 404


def test_another_version_is_taken_and_given_back_with_a_button(
    client: TestClient, shipped: Knowledge, knowledge: Knowledge
) -> None:
    store = client.app.state.services.knowledge  # type: ignore[attr-defined]
    store.add(knowledge)
    assert f"/knowledge/{knowledge.version}/activate" in client.get("/knowledge").text

    taken = client.post(f"/knowledge/{knowledge.version}/activate")
    assert taken.status_code == 200  # after the redirect
    assert store.current.version == knowledge.version
    client.post(f"/knowledge/{shipped.version}/activate")

    assert store.current.version == shipped.version
    assert client.post("/knowledge/no-such/activate").status_code == 404


def test_a_refit_that_runs_already_is_told_on_the_page(client: TestClient) -> None:
    store = client.app.state.services.knowledge  # type: ignore[attr-defined]
    with store.refitting:
        answer = client.post("/knowledge/refit")

    assert answer.status_code == 409
    assert "One refit runs at a time" in answer.text
    assert 'role="alert"' in answer.text


def test_lists_are_told_by_what_a_question_allows(client: TestClient) -> None:
    said = client.get("/v1/knowledge").json()["data"][0]["held_out"]
    page = client.get("/knowledge").text

    assert set(said["kinds"]) == {"free", "peft", "memory", "time"}
    assert said["kinds"]["free"]["ours"] == said["ours"]
    for kind, words in (("peft", "Adapters only"), ("memory", "Half the usual memory")):
        row = page.split(words)[1].split("</tr>")[0]
        assert f"{said['kinds'][kind]['ours']['1']:.3f}" in row
        assert "the portfolio" in row
