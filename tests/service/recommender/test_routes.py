from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from metadata.knowledge import Knowledge
from service.app import create_app
from service.recommender.knowledge import KnowledgeStore
from service.settings import Settings

URL = "/v1/recommendations"


@pytest.fixture(scope="module")
def client(
    shared_settings: Settings, knowledge: Knowledge, knowledge_folder: Path
) -> Iterator[TestClient]:
    """Return a client of a server that answers from the made-up knowledge."""
    store = KnowledgeStore(shared_settings.data_dir / "knowledge", shipped=knowledge_folder)
    store.activate(knowledge.version)
    with TestClient(create_app(shared_settings), base_url="http://127.0.0.1:8000") as client:
        yield client


def test_an_answer_is_kept_and_can_be_read_again(
    client: TestClient, request_json: dict[str, Any]
) -> None:
    given = client.post(URL, json=request_json).json()

    assert client.get(f"{URL}/{given['id']}").json() == given


def test_the_same_question_gets_the_same_id_and_choice(
    client: TestClient, request_json: dict[str, Any]
) -> None:
    first, second = (client.post(URL, json=request_json).json() for _ in range(2))

    assert {**first, "created_at": ""} == {**second, "created_at": ""}


def test_an_uploaded_file_stands_for_its_profile(
    client: TestClient, request_json: dict[str, Any], file_id: str
) -> None:
    given = client.post(URL, json={**request_json, "dataset": {"file_id": file_id}})

    assert given.status_code == 200
    assert given.json()["configurations"][0]["configuration"]["max_length_tokens"] < 100


@pytest.mark.parametrize(
    ("changes", "status", "param", "says"),
    [
        ({"budget": {"train_minutes": 0}}, 422, "train_minutes", "greater than 0, got 0"),
        ({"count": 0}, 422, "count", "greater than or equal to 1, got 0"),
        ({"count": 51}, 422, "count", "less than or equal to 50, got 51"),
        ({"budget": {"memory_gib": 0.25}}, 422, None, "the smallest of"),
        ({"base_model": {"id": "nobody/nothing-3B"}}, 422, "base_model", "nothing-3B"),
        ({"base_model": {"id": "../models/mine"}}, 422, "base_model", "never a path"),
        ({"hardware": {"device": "NVIDIA L41S"}}, 422, "device", "NVIDIA L4"),
        ({"dataset": {"file_id": "file-none"}}, 404, "dataset.file_id", "file-none"),
        ({"dataset": {}}, 422, "dataset", "exactly one of"),
        ({"methods": ["qlora"]}, 422, "methods", "lora, rslora"),
        ({"objective": "fast"}, 422, "objective", "quality"),
        ({"serve_with": "ollama"}, 422, "serve_with", "'peft', 'merged' or 'vllm'"),
        ({"methods": ["full"], "serve_with": "peft"}, 422, "serve_with", "all weights are trained"),
        ({"methods": ["boft"], "serve_with": "vllm"}, 422, "serve_with", "it rotates and scales"),
        ({"base_model": {"id": "gpt2"}, "methods": ["boft"]}, 422, "methods", "are transposed"),
        ({"budget": {"usd": 2}}, 422, "budget.usd", "usd_per_hour"),
        ({"budget": {"train_minutes": 1e300}}, 422, "train_minutes", "less than"),
        ({"hardware": {"device": "NVIDIA L40S", "count": 10**17}}, 422, "count", "less than"),
    ],
)
def test_bad_input_gets_a_problem_with_rule_value_and_field(
    client: TestClient,
    request_json: dict[str, Any],
    changes: dict[str, Any],
    status: int,
    param: str | None,
    says: str,
) -> None:
    answer = client.post(URL, json={**request_json, **changes})

    problem = answer.json()
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert says in problem["detail"]
    assert param is None or param in problem["param"]
    assert client.post(URL, json=request_json).status_code == 200  # the server goes on


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "1" * 400])
def test_numbers_beyond_all_bounds_are_refused(client: TestClient, number: str) -> None:
    body = '{"budget": {"train_minutes": %s}}' % number  # noqa: UP031  # braces stay readable

    answer = client.post(URL, content=body, headers={"Content-Type": "application/json"})

    assert 400 <= answer.status_code < 500


def test_a_broken_example_is_named_by_its_line(
    client: TestClient, request_json: dict[str, Any]
) -> None:
    examples = [{"prompt": "a", "completion": "b"}] * 56 + [{"completion": 3}]

    answer = client.post(URL, json={**request_json, "dataset": {"examples": examples}})

    assert answer.status_code == 422
    assert answer.json()["line"] == 57


def test_an_unknown_recommendation_is_not_found(client: TestClient) -> None:
    assert client.get(f"{URL}/rec-nothing").status_code == 404


def test_versions_are_listed_with_their_held_out_results(
    client: TestClient, knowledge: Knowledge
) -> None:
    listed = client.get("/v1/knowledge").json()

    (current,) = [one for one in listed["data"] if one["is_current"]]
    assert current["version"] == knowledge.version
    assert current["held_out"]["ours"]["1"] == knowledge.held_out["regret"]["ours"]["1"]
    assert any(one["is_shipped"] for one in listed["data"])


def test_going_back_to_another_version_changes_who_answers(
    client: TestClient, request_json: dict[str, Any], knowledge: Knowledge
) -> None:
    listed = client.get("/v1/knowledge").json()["data"]
    (shipped,) = [one["version"] for one in listed if one["is_shipped"]]

    answer = client.post(f"/v1/knowledge/{shipped}/activate")

    assert answer.json()["is_current"]
    assert client.post(URL, json=request_json).json()["knowledge_version"] == shipped
    again = client.post(f"/v1/knowledge/{knowledge.version}/activate").json()
    assert again["version"] == knowledge.version


def test_an_unknown_version_is_not_found(client: TestClient) -> None:
    assert client.post("/v1/knowledge/nothing/activate").status_code == 404


def test_an_asked_method_that_cannot_exist_on_the_model_is_told_beside_the_others(
    client: TestClient, request_json: dict[str, Any]
) -> None:
    asked = {"base_model": {"id": "gpt2"}, "methods": ["boft", "lora"]}

    given = client.post(URL, json={**request_json, **asked}).json()

    names = {one["configuration"]["method"]["name"] for one in given["configurations"]}
    assert names == {"lora"}
    rules = [one["rule"] for one in given["excluded"]]
    assert any(rule.startswith("BOFT has no configuration on gpt2, since") for rule in rules)


def test_a_method_without_past_runs_is_answered_and_said_to_have_none(
    client: TestClient, request_json: dict[str, Any]
) -> None:
    given = client.post(URL, json={**request_json, "methods": ["boft"]}).json()

    assert given["evidence"]["advice"].startswith("No past run used BOFT: its values are")
    assert {one["configuration"]["method"]["name"] for one in given["configurations"]} == {"boft"}
