import json
import os
import re
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from service.pages.checked_files import HOUR_SECONDS, CheckedFiles

GOOD = "".join(
    json.dumps({"prompt": f"{n} + 1 =", "completion": f"{n + 1}"}) + "\n" for n in range(40)
)
COMMA = '{"prompt": "Capital of France?", "completion": "Paris",}\n'
BROKEN = '{"prompt": "Capital of\n'


def check(client: TestClient, text: str, **fields: str) -> httpx.Response:
    parts = {name: (None, value) for name, value in fields.items()}
    return client.post("/data", files={**parts, "file": ("train.jsonl", text.encode())})


def hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found is not None
    return found[1]


def test_every_problem_is_shown_with_its_line_rule_and_fix(client: TestClient) -> None:
    page = check(client, GOOD + COMMA + BROKEN, model="peftwise-tiny").text

    api = client.post(
        "/v1/datasets/check",
        data={"model": "peftwise-tiny"},
        files={"file": ("train.jsonl", (GOOD + COMMA + BROKEN).encode())},
    ).json()
    assert "Mend the errors first" in page
    assert api["problems"]
    for problem in api["problems"]:
        assert f">{problem['rule']}<" in page
        assert f"{problem['line']}" in page
    assert "trailing-comma" in page
    assert "512 tokens" in page  # the context of the model
    assert "Keep" not in page.split("Files here")[0].replace("kept only if you say so", "")


def test_a_repaired_copy_is_downloaded_and_can_be_kept(client: TestClient) -> None:
    page = check(client, GOOD + COMMA).text
    link = re.search(r'href="(/data/repaired/[^"]+)"', page)
    assert link is not None

    copy = client.get(link[1])
    kept = client.post(
        "/data/kept",
        data={"token": hidden(page, "token"), "name": "train.jsonl", "which": "repaired"},
    )

    assert copy.text == GOOD + COMMA.replace(",}", "}")
    assert "train.repaired.jsonl" in copy.headers["content-disposition"]
    assert kept.status_code == 200
    (file,) = client.get("/v1/files").json()["data"]
    assert (file["filename"], file["peft"]["profile"]["examples"]) == ("train.repaired.jsonl", 41)
    content = client.get(f"/v1/files/{file['id']}/content")
    assert content.text == copy.text


def test_a_good_file_is_kept_as_it_is_checked_again_and_deleted(client: TestClient) -> None:
    page = check(client, GOOD).text
    client.post(
        "/data/kept",
        data={"token": hidden(page, "token"), "name": "train.jsonl", "which": "original"},
    )
    (file,) = client.get("/v1/files").json()["data"]

    shown = client.get("/data").text
    again = client.post(f"/data/{file['id']}/check").text
    assert "train.jsonl" in shown
    assert "generation" in shown
    assert "40 examples" in shown
    assert re.search(r'id="checked">train\.jsonl<', again)
    client.post(f"/data/{file['id']}/delete")

    assert client.get("/v1/files").json()["data"] == []


def test_a_file_that_a_job_needs_is_not_deleted(client: TestClient, file_id: str) -> None:
    order = {"model": "peftwise-tiny", "training_file": file_id}
    job_id = client.post("/v1/fine_tuning/jobs", json=order).json()["id"]

    refused = client.post(f"/data/{file_id}/delete")

    assert refused.status_code == 409
    assert job_id in refused.text
    assert client.get(f"/v1/files/{file_id}").status_code == 200


def test_pasted_lines_are_checked_too(client: TestClient) -> None:
    page = client.post("/data", files={"examples": (None, GOOD), "file": ("", b"")}).text

    assert 'id="checked"' in page
    assert "40" in page


def test_nothing_to_check_is_told_at_the_field(client: TestClient) -> None:
    answer = client.post("/data", files={"file": ("", b"")})

    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text


@pytest.mark.parametrize(
    ("token", "which", "status"),
    [
        ("0" * 32, "original", 404),
        ("../../etc/passwd", "original", 404),
        ("0" * 32, "both", 422),
        ("", "repaired", 404),
    ],
)
def test_what_was_not_checked_is_not_kept(
    client: TestClient, token: str, which: str, status: int
) -> None:
    answer = client.post("/data/kept", data={"token": token, "which": which, "name": "a.jsonl"})

    assert answer.status_code == status
    assert client.get("/data/repaired/..%2Fsecret").status_code == 404


def test_what_was_checked_is_gone_after_an_hour(tmp_path: Path) -> None:
    kept = CheckedFiles(tmp_path)
    first = tmp_path / "first"
    first.write_text("{}\n")
    token = kept.take(first)
    old = kept.original(token)
    age = old.stat().st_mtime - HOUR_SECONDS - 1
    os.utime(old, (age, age))

    second = tmp_path / "second"
    second.write_text("{}\n")
    kept.take(second)

    assert not old.exists()
    assert len(list(tmp_path.iterdir())) == 1
