"""Runs over HTTP: filtered, compared, exported; on the shipped ones."""

import csv
import io
from typing import Any

import pytest
from starlette.testclient import TestClient


def runs(client: TestClient, **query: Any) -> Any:
    answer = client.get("/v1/runs", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_runs_are_filtered_sorted_and_counted(client: TestClient) -> None:
    found = runs(
        client,
        filter="(method = 'lora' or method = 'ia3') and score is not null",
        sort="-score",
        limit=7,
        with_total=True,
    )
    scores = [run["score"] for run in found["data"]]
    assert scores == sorted(scores, reverse=True)
    assert {run["configuration"]["method"]["name"] for run in found["data"]} <= {"lora", "ia3"}
    assert found["total"] > 7
    assert found["has_more"]


def test_the_short_ways_are_the_same_as_the_filter(client: TestClient) -> None:
    short = runs(client, method="lora", state="succeeded", limit=50)
    long = runs(client, filter="method = 'lora' and state = 'succeeded'", limit=50)

    assert [run["id"] for run in short["data"]] == [run["id"] for run in long["data"]]


def test_only_the_named_fields_come(client: TestClient) -> None:
    found = runs(client, fields="score, configuration.method.r,train_seconds", limit=3)

    for run in found["data"]:
        assert set(run) == {"id", "score", "configuration.method.r", "train_seconds"}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"filter": "score >"}, "At character 8"),
        ({"filter": "scor > 1"}, "Did you mean"),
        ({"sort": "-nothing"}, "there is no field 'nothing'"),
        ({"fields": "score,nothing"}, "there is no field 'nothing'"),
        ({"limit": 0}, "limit is 1 to 1,000"),
        ({"after": "nobody"}, "which no run has"),
    ],
)
def test_a_wrong_question_is_told(client: TestClient, query: Any, words: str) -> None:
    answer = client.get("/v1/runs", params=query)

    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_the_fields_are_listed(client: TestClient) -> None:
    found = client.get("/v1/runs/fields").json()["data"]

    assert {"name": "score", "kind": "number"} in found
    assert {"name": "task.dataset.compression_ratio", "kind": "number"} in found


def test_a_comparison_tells_what_differs_and_the_curves(client: TestClient) -> None:
    ids = [run["id"] for run in runs(client, filter="score is not null", limit=3)["data"]]

    found = client.get("/v1/runs/compare", params={"ids": ",".join(ids)}).json()

    assert found["ids"] == ids
    assert found["differs"]
    for name, values in found["differs"].items():
        assert len(values) == 3
        assert len({repr(value) for value in values}) > 1, name
    assert not set(found["same"]) & set(found["differs"])
    assert [curve["run_id"] for curve in found["curves"]] == ids
    assert all(curve["data"] for curve in found["curves"])
    for wrong, status in ((ids[0], 422), (f"{ids[0]},nobody", 404)):
        answer = client.get("/v1/runs/compare", params={"ids": wrong})
        assert answer.status_code == status


def test_nobody_beats_the_front(client: TestClient) -> None:
    where = "dataset_name like 'trec%'"
    front = client.get("/v1/runs/pareto", params={"filter": where}).json()["data"]
    every = runs(client, filter=f"{where} and score is not null", limit=1000)["data"]

    assert front
    gains = [point["gain"] for point in front]
    assert gains == sorted(gains)
    for run in every:
        cost, gain = run["costs"]["train_seconds"], run["score"]
        assert any(point["cost"] <= cost and point["gain"] >= gain for point in front)


def test_an_export_holds_every_run_of_the_filter(client: TestClient) -> None:
    where = "state = 'succeeded' and method = 'lora'"
    total = runs(client, filter=where, with_total=True, limit=1)["total"]

    text = client.get(
        "/v1/runs/export", params={"filter": where, "fields": "score,method,reason"}
    ).text

    lines = list(csv.DictReader(io.StringIO(text)))
    assert len(lines) == total
    assert {line["method"] for line in lines} == {"lora"}
    assert list(lines[0]) == ["id", "score", "method", "reason"]
