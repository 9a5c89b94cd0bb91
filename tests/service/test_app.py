import asyncio
from pathlib import Path
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from metadata.errors import Conflict, InvalidRequest
from metadata.history import History
from metadata.runs_file import SHIPPED_RUNS, read_runs
from service.app import create_app
from service.folder_lock import hold_folder
from service.openapi import OpenAIErrorAnswer, Problem
from service.services import add_shipped_runs
from service.settings import Settings

METHODS = {"get", "post", "put", "patch", "delete"}


def test_it_lives_and_is_ready(client: TestClient) -> None:
    assert client.get("/livez").json() == {"status": "ok"}
    ready = client.get("/readyz").json()
    assert ready["knowledge_version"] == client.app.state.services.knowledge.current.version  # type: ignore[attr-defined]


def test_it_lives_but_is_not_ready_without_its_database(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise OperationalError("SELECT 1", None, Exception("connection refused"))

    monkeypatch.setattr("service.health.read_session", away)

    assert client.get("/livez").status_code == 200
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"


def test_a_database_that_is_away_is_told_as_such(client: TestClient) -> None:
    def away(*_: Any) -> None:
        raise OperationalError("SELECT secret", None, Exception("connection refused"))

    client.app.state.services.queue.get = away  # type: ignore[attr-defined]

    answer = client.get("/v1/fine_tuning/jobs/ftjob-x")

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert "does not answer" in answer.json()["error"]["message"]
    assert "secret" not in answer.text


def test_a_second_start_answers_too(settings: Settings) -> None:
    for _ in range(2):
        with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
            assert client.get("/livez").status_code == 200


@pytest.mark.skipif(not SHIPPED_RUNS.is_file(), reason="no runs are shipped")
def test_the_shipped_runs_are_added_once(engine: Engine) -> None:
    history = History(engine)
    count = len(read_runs(SHIPPED_RUNS))

    added = [add_shipped_runs(history) for _ in range(2)]

    assert added == [count, 0]
    assert history.count() == count > 0


@pytest.mark.skipif(not SHIPPED_RUNS.is_file(), reason="no runs are shipped")
def test_a_shipped_run_that_was_deleted_stays_away(engine: Engine) -> None:
    history = History(engine)
    count = add_shipped_runs(history)
    deleted = read_runs(SHIPPED_RUNS)[0].id
    history.remove(deleted)

    assert add_shipped_runs(history) == 0
    assert history.count() == count - 1


def test_a_second_server_that_runs_jobs_on_the_same_folder_refuses(settings: Settings) -> None:
    runs_jobs = settings.model_copy(update={"executor": "local"})

    with TestClient(create_app(runs_jobs), base_url="http://127.0.0.1"):
        with pytest.raises(Conflict, match="Another server runs"), hold_folder(settings.data_dir):
            pass
        with (
            pytest.raises(Conflict, match="Another server"),
            TestClient(create_app(settings), base_url="http://127.0.0.1"),
        ):
            pass


def test_a_folder_is_free_again_after_a_stop(settings: Settings) -> None:
    for _ in range(2):
        with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
            assert client.get("/livez").status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_route_answers_in_the_shape_of_its_place(
    client: TestClient, method: str
) -> None:
    problem = client.request(method, "/v1/nothing", json={})
    error = client.request(method, "/v1/files/a/b/c", json={})

    assert (problem.status_code, error.status_code) == (404, 404)
    assert problem.headers["content-type"] == "application/problem+json"
    Problem.model_validate(problem.json())
    OpenAIErrorAnswer.model_validate(error.json())


def test_a_method_that_a_route_has_not_is_told(client: TestClient) -> None:
    answer = client.put("/v1/runs", json={})

    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"
    assert "it has GET" in answer.json()["detail"]


def test_an_error_never_shows_a_folder_of_the_server(
    client: TestClient, settings: Settings, file_id: str
) -> None:
    (settings.data_dir / "files" / file_id).unlink()

    answer = client.get(f"/v1/files/{file_id}/content")

    assert answer.status_code == 404
    assert str(settings.data_dir) not in answer.text


def test_every_route_is_described_with_an_example_and_its_errors(client: TestClient) -> None:
    document = client.get("/openapi.json").json()

    for path, route in document["paths"].items():
        for method in METHODS & set(route):
            described, name = route[method], f"{method} {path}"
            assert described.get("summary"), name
            assert described.get("description"), name
            assert any(code.startswith(("4", "5")) for code in described["responses"]), name
            good = next(v for k, v in described["responses"].items() if k.startswith("2"))
            body = described.get("requestBody", {}).get("content", {})
            shown = [*good.get("content", {}).values(), *body.values()]
            assert any("example" in part or "examples" in part for part in shown) or (
                "204" in described["responses"]
            ), name
            for part in body.values():
                assert "example" in part or "examples" in part, name


def test_the_examples_of_requests_are_valid(client: TestClient) -> None:
    """Each example body passes its route's types: what is refused is refused for its meaning."""
    document = client.get("/openapi.json").json()

    for path, route in document["paths"].items():
        for method, described in ((name, route[name]) for name in METHODS & set(route)):
            content = described.get("requestBody", {}).get("content", {})
            for shown in content.get("application/json", {}).get("examples", {}).values():
                real = path.replace("{", "").replace("}", "")
                answer = client.request(method, real, json=shown["value"])
                assert answer.status_code in {200, 204, 400, 401, 404, 422}, path
                for words in ("is missing", "not a field", "Input should"):
                    assert words not in answer.text, (path, answer.text)


def test_a_request_can_be_answered_without_a_running_server(settings: Settings) -> None:
    """The command line asks the application in its own process, without background work."""
    client = TestClient(create_app(settings), base_url="http://127.0.0.1")

    assert client.get("/v1/methods").status_code == 200


def test_a_listed_model_is_known_by_its_id(make_client: Any, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text(
        '{"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 512,'
        ' "num_attention_heads": 4, "intermediate_size": 128, "max_position_embeddings": 256}'
    )

    client = make_client(models={"mine/llama": folder})

    model = client.get("/v1/models/mine/llama").json()
    assert (model["owned_by"], model["peft"]["is_listed"]) == ("mine", True)
    assert model["peft"]["profile"]["hidden_size"] == 64
    assert client.get("/v1/models").json()["data"][0]["id"] == "mine/llama"
    assert str(folder) not in client.get("/v1/models").text


def test_a_listed_folder_without_a_model_is_told_at_the_start(
    settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(InvalidRequest, match="PEFTWISE_MODELS"):
        create_app(settings.model_copy(update={"models": {"mine": tmp_path}}))


@pytest.mark.parametrize("name", ["methods", "optimizers", "schedules", "devices", "models"])
def test_a_table_is_a_list(client: TestClient, name: str) -> None:
    table = client.get(f"/v1/{name}").json()

    assert (table["object"], table["has_more"]) == ("list", False)
    assert table["data"]


def test_many_requests_at_once_are_answered(client: TestClient, file_id: str) -> None:
    configuration = {
        "method": {"name": "ia3"},
        "optimizer": {"name": "adamw", "learning_rate": 0.01},
    }
    order = {
        "model": "peftwise-tiny",
        "training_file": file_id,
        "peft": {"configuration": configuration},
    }

    async def ask() -> list[int]:
        transport = ASGITransport(app=client.app)  # type: ignore[arg-type]
        async with AsyncClient(transport=transport, base_url="http://127.0.0.1") as many:
            calls = (many.post("/v1/fine_tuning/jobs", json=order) for _ in range(12))
            return [answer.status_code for answer in await asyncio.gather(*calls)]

    assert asyncio.run(ask()) == [200] * 12
    assert len(client.get("/v1/fine_tuning/jobs").json()["data"]) == 12
