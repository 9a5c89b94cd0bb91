"""Runs over HTTP: filtered, compared, exported; on the shipped ones."""

import csv
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from metadata.history import History
from metadata.runs_file import read_runs


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


def test_parquet_holds_the_same_values_as_csv(client: TestClient) -> None:
    names = "score,method,rank,created_at,core,configuration.method.r,versions.torch,tags,archived"
    query = {"filter": "state != 'succeeded' or method = 'lora'", "fields": names, "sort": "id"}
    first = runs(client, limit=1, **query)["data"][0]["id"]
    client.patch(f"/v1/runs/{first}", json={"tags": ["b", "a"]})

    table = parquet(client, format="parquet", **query)

    text = client.get("/v1/runs/export", params=query).text
    lines = list(csv.DictReader(io.StringIO(text)))
    assert table.schema.names == ["id", *names.split(",")]
    kinds = {"score": "double", "rank": "int64", "core": "bool", "configuration.method.r": "double"}
    assert {name: str(table.schema.field(name).type) for name in kinds} == kinds
    assert len(lines) == table.num_rows > 400
    for line, row in zip(lines, table.to_pylist(), strict=True):
        assert line["id"] == row["id"]
        assert (float(line["score"]) if line["score"] else None) == row["score"]
        assert line["created_at"] == row["created_at"].isoformat()
        assert (float(line["configuration.method.r"] or -1)) == (
            -1 if row["configuration.method.r"] is None else row["configuration.method.r"]
        )
    assert table.to_pylist()[0]["tags"] == ["a", "b"]
    assert lines[0]["tags"] == "a, b"


def test_every_field_can_be_exported(client: TestClient) -> None:
    table = parquet(client, format="parquet", filter="method = 'dora'", sort="-score")

    scores = [score for score in table["score"].to_pylist() if score is not None]
    assert scores == sorted(scores, reverse=True)
    assert set(table.schema.names) == {
        field["name"] for field in client.get("/v1/runs/fields").json()["data"]
    }


def test_whole_runs_come_back_as_they_are(client: TestClient, tmp_path: Path) -> None:
    history: History = client.app.state.services.history  # type: ignore[attr-defined]
    answer = client.get("/v1/runs/export", params={"format": "runs", "sort": "-score"})
    file = tmp_path / "runs.parquet"
    file.write_bytes(answer.content)

    read = read_runs(file)

    assert len(read) == history.count()
    for run in read[::40]:
        assert run == history.get(run.id)


def test_an_empty_export_is_a_whole_file(client: TestClient) -> None:
    nothing = "score > 1e9"
    assert parquet(client, format="parquet", filter=nothing).num_rows == 0
    assert parquet(client, format="runs", filter=nothing).num_rows == 0
    text = client.get("/v1/runs/export", params={"filter": nothing, "fields": "score"}).text
    assert text == "id,score\n"


def test_a_wrong_export_is_told(client: TestClient) -> None:
    for query in ({"format": "xlsx"}, {"fields": "nothing"}, {"filter": "score >"}):
        assert client.get("/v1/runs/export", params=query).status_code == 422


def test_a_run_is_noted_archived_and_taken_back(client: TestClient) -> None:
    run = runs(client, limit=1)["data"][0]
    said = {"note": "<b>odd</b>", "tags": ["x"], "archived": True}

    answer = client.patch(f"/v1/runs/{run['id']}", json=said)

    assert answer.status_code == 200, answer.text
    assert {name: answer.json()[name] for name in said} == said
    assert client.get(f"/v1/runs/{run['id']}").json() == answer.json()
    assert run["id"] not in {one["id"] for one in runs(client, limit=50)["data"]}
    found = runs(client, filter="archived = true and tags = 'x'", fields="note,tags,archived")
    assert found["data"] == [{"id": run["id"], **said}]

    client.patch(f"/v1/runs/{run['id']}", json={"archived": False})
    assert runs(client, limit=1)["data"][0] == run | {**said, "archived": False}


def test_a_wrong_note_is_told(client: TestClient) -> None:
    run_id = runs(client, limit=1)["data"][0]["id"]

    for wrong in ({"tags": ["a,b"]}, {"state": "failed"}, {"archived": "perhaps"}):
        assert client.patch(f"/v1/runs/{run_id}", json=wrong).status_code == 422
    assert client.patch("/v1/runs/nobody", json={"note": "x"}).status_code == 404


def test_a_run_is_deleted_for_good(client: TestClient) -> None:
    run_id = runs(client, limit=1)["data"][0]["id"]

    answer = client.delete(f"/v1/runs/{run_id}")

    assert answer.json() == {"id": run_id, "object": "run", "deleted": True}
    assert client.get(f"/v1/runs/{run_id}").status_code == 404
    assert client.delete(f"/v1/runs/{run_id}").status_code == 404


def parquet(client: TestClient, **query: Any) -> pa.Table:
    answer = client.get("/v1/runs/export", params=query)
    assert answer.status_code == 200, answer.text
    return pq.read_table(io.BytesIO(answer.content))
