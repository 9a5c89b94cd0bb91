from typing import Any

import pytest
from starlette.testclient import TestClient

from service.settings import Settings


def post(client: TestClient, content: bytes, name: str = "train.jsonl", **fields: str) -> Any:
    fields = fields or {"purpose": "fine-tune"}
    return client.post("/v1/files", data=fields, files={"file": (name, content)})


def test_an_upload_answers_with_openais_file_object(client: TestClient, jsonl: bytes) -> None:
    answer = post(client, jsonl)

    assert answer.status_code == 200
    file = answer.json()
    assert file["id"].startswith("file-")
    assert (file["object"], file["purpose"], file["status"]) == ("file", "fine-tune", "processed")
    assert (file["bytes"], file["filename"]) == (len(jsonl), "train.jsonl")
    assert file["peft"]["profile"]["examples"] == 60
    assert client.get(f"/v1/files/{file['id']}").json() == file
    assert client.get("/v1/files").json()["data"] == [file]


def test_a_broken_line_57_is_said(client: TestClient, jsonl: bytes, settings: Settings) -> None:
    lines = jsonl.splitlines(keepends=True)
    lines[56] = b'{"prompt": "56 + 1 ="}\n'

    answer = post(client, b"".join(lines))

    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["line"] == 57
    assert "Line 57" in error["message"]
    assert '"completion" is missing' in error["message"]
    assert list((settings.data_dir / "files").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(client: TestClient, content: bytes) -> None:
    answer = post(client, content)

    assert answer.status_code == 400
    assert "at least one example, got none" in answer.json()["error"]["message"]


def test_another_purpose_is_refused_with_the_field(client: TestClient, jsonl: bytes) -> None:
    error = post(client, jsonl, purpose="assistants").json()["error"]

    assert error["param"] == "purpose"
    assert "got 'assistants'" in error["message"]


def test_the_content_comes_back_as_an_attachment(client: TestClient, jsonl: bytes) -> None:
    file_id = post(client, jsonl, name='a"b\u00e9.html').json()["id"]

    answer = client.get(f"/v1/files/{file_id}/content")

    assert answer.content == jsonl
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_deleted_file_is_gone(client: TestClient, file_id: str, settings: Settings) -> None:
    answer = client.delete(f"/v1/files/{file_id}")

    assert answer.json() == {"id": file_id, "object": "file", "deleted": True}
    assert client.get(f"/v1/files/{file_id}").status_code == 404
    assert client.get(f"/v1/files/{file_id}/content").status_code == 404
    assert list((settings.data_dir / "files").iterdir()) == []


def test_a_file_that_a_job_needs_is_kept(client: TestClient, file_id: str) -> None:
    order = {"model": "peftwise-tiny", "training_file": file_id}
    job_id = client.post("/v1/fine_tuning/jobs", json=order).json()["id"]

    refused = client.delete(f"/v1/files/{file_id}")
    client.post(f"/v1/fine_tuning/jobs/{job_id}/cancel")

    assert refused.status_code == 400
    assert job_id in refused.json()["error"]["message"]
    assert client.delete(f"/v1/files/{file_id}").status_code == 200


@pytest.mark.parametrize("name", ["x", "..", "..%2f..%2fetc%2fpasswd", "server.lock"])
def test_an_id_is_never_a_path(client: TestClient, name: str) -> None:
    assert client.get(f"/v1/files/{name}/content").status_code == 404
    assert client.delete(f"/v1/files/{name}").status_code in {404, 405}


def test_a_page_of_files_says_where_to_go_on(client: TestClient, jsonl: bytes) -> None:
    ids = [post(client, jsonl).json()["id"] for _ in range(3)]

    first = client.get("/v1/files", params={"limit": 2}).json()
    rest = client.get("/v1/files", params={"after": first["last_id"]}).json()

    assert first["has_more"]
    assert not rest["has_more"]
    assert {file["id"] for file in first["data"] + rest["data"]} == set(ids)
    assert client.get("/v1/files", params={"limit": 0}).status_code == 400
    assert client.get("/v1/files", params={"after": "nothing"}).status_code == 404
