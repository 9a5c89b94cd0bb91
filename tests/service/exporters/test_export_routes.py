"""A recommendation taken away over HTTP and by the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from fastapi.testclient import TestClient

from service.exporters import EXPORTERS

URL = "/v1/recommendations"
QUESTION: dict[str, Any] = {
    "base_model": {"id": "Qwen/Qwen2.5-0.5B"},
    "hardware": {"device": "NVIDIA L40S"},
    "methods": ["lora", "vera", "full"],
    "count": 5,
}


@pytest.fixture
def answer(client: TestClient, file_id: str) -> dict[str, Any]:
    """Return an answer on an uploaded file."""
    given = client.post(URL, json={**QUESTION, "dataset": {"file_id": file_id}})
    assert given.status_code == 200, given.text
    found: dict[str, Any] = given.json()
    return found


def test_every_format_answers_a_file_or_says_which_formats_do(
    client: TestClient, answer: dict[str, Any]
) -> None:
    for name, exporter in EXPORTERS.items():
        for one in answer["configurations"]:
            given = client.get(
                f"{URL}/{answer['id']}/export", params={"format": name, "rank": one["rank"]}
            )
            if given.status_code == 422:
                assert "Formats that can: " in given.json()["detail"]
                assert given.json()["param"] == "format"
                continue
            assert given.status_code == 200
            assert given.headers["content-disposition"].endswith(f'"{exporter.file_name}"')
            assert answer["id"] in unquote(given.headers["x-peftwise-origin"])


def test_a_file_says_the_method_that_was_recommended(client: TestClient, file_id: str) -> None:
    question = {**QUESTION, "methods": ["vera"], "dataset": {"file_id": file_id}}
    answer = client.post(URL, json=question).json()

    for one in answer["configurations"]:
        asked = {"format": "peft", "rank": one["rank"]}
        config = client.get(f"{URL}/{answer['id']}/export", params=asked).json()
        assert config["peft_type"] == "VERA"
        assert config["r"] == one["configuration"]["method"]["r"]


def test_the_data_are_called_as_they_are_and_their_records_known(
    client: TestClient, answer: dict[str, Any]
) -> None:
    url, records = f"{URL}/{answer['id']}/export", {"records": "messages", "data": "mine.jsonl"}
    asked = {"format": "axolotl", "rank": carried_rank(client, answer, "axolotl")}

    usual, chosen = (
        yaml.safe_load(client.get(url, params=one).text)["datasets"][0]
        for one in (asked, asked | records)
    )

    assert (usual["path"], usual["type"]["field_instruction"]) == ("train.jsonl", "prompt")
    assert (chosen["path"], chosen["type"]) == ("mine.jsonl", "chat_template")


def carried_rank(client: TestClient, answer: dict[str, Any], name: str) -> int:
    """Return the first rank that a format carries."""
    for one in answer["configurations"]:
        asked = {"format": name, "rank": one["rank"]}
        if client.get(f"{URL}/{answer['id']}/export", params=asked).is_success:
            return int(one["rank"])
    pytest.skip(f"no rank of this answer goes with {name}")


def test_the_body_of_a_job_is_taken_by_our_own_server(client: TestClient, file_id: str) -> None:
    question = {**QUESTION, "base_model": {"id": "peftwise-tiny"}, "hardware": {"device": "cpu"}}
    answer = client.post(URL, json={**question, "dataset": {"file_id": file_id}}).json()
    body = client.get(f"{URL}/{answer['id']}/export", params={"format": "openai", "rank": 1}).json()

    job = client.post("/v1/fine_tuning/jobs", json=body)

    assert job.status_code == 200, job.text
    assert job.json()["peft"]["configuration"] == answer["configurations"][0]["configuration"]
    assert answer["id"] in job.json()["metadata"]["origin"]


@pytest.mark.parametrize(
    ("params", "status", "says"),
    [
        ({"format": "keras"}, 422, "format must be one of peft, trl"),
        ({}, 422, "`format` is missing"),
        ({"format": "trl", "rank": 0}, 422, "greater than or equal to 1"),
        ({"format": "trl", "rank": 50}, 404, "has ranks 1 to"),
        ({"format": "trl", "records": "rows"}, 422, "'messages'"),
        ({"format": "trl", "data": "a\nb"}, 422, "printable"),
    ],
)
def test_what_cannot_be_exported_is_said(
    client: TestClient, answer: dict[str, Any], params: dict[str, Any], status: int, says: str
) -> None:
    given = client.get(f"{URL}/{answer['id']}/export", params=params)

    assert given.status_code == status
    assert says in given.json()["detail"]


def test_an_unknown_recommendation_has_no_file(client: TestClient) -> None:
    assert client.get(f"{URL}/rec-none/export", params={"format": "trl"}).status_code == 404


def test_a_file_that_is_gone_leaves_an_answer_to_export(
    client: TestClient, answer: dict[str, Any], file_id: str
) -> None:
    client.delete(f"/v1/files/{file_id}")

    assert client.get(f"{URL}/{answer['id']}/export", params={"format": "openai"}).is_success


def test_the_command_line_writes_a_file(
    run: Callable[..., Any], tmp_path: Path, jsonl: bytes
) -> None:
    data, out = tmp_path / "mine.jsonl", tmp_path / "adapter_config.json"
    data.write_bytes(jsonl)
    asked = ("recommend", str(data), "--model", "Qwen/Qwen2.5-0.5B", "--device", "NVIDIA L40S")

    ended = run(*asked, "--export", "peft", "--export-to", str(out), "--method", "vera")
    printed = run(*asked, "--export", "openai", "--method", "vera")

    assert (ended.code, printed.code) == (0, 0)
    assert json.loads(out.read_text())["peft_type"] == "VERA"
    assert "The file says the method alone" in ended.err
    body = json.loads(printed.out)
    assert body["training_file"] == str(data)
    assert body["peft"]["configuration"]["method"]["name"] == "vera"


def test_the_command_line_says_which_formats_can(
    run: Callable[..., Any], tmp_path: Path, jsonl: bytes
) -> None:
    data = tmp_path / "mine.jsonl"
    data.write_bytes(jsonl)
    asked = ("recommend", str(data), "--model", "gpt2", "--method", "vera", "--export", "unsloth")

    ended = run(*asked)

    assert ended.code == 2
    assert "the method vera" in ended.err
    assert "openai" in ended.err
