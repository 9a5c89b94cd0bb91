import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.datasets.schemas import LISTED_LINES, DatasetCheckAnswer
from service.openapi import Problem
from service.settings import Settings
from tests.metadata.data_check.malformed import make_malformed
from tests.service.conftest import MakeClient, Run

CHECK = "/v1/datasets/check"
TINY = "peftwise-tiny"
BASE_MODELS = Path(__file__).parents[2] / "training_worker" / "base_models"


def good_lines(count: int) -> bytes:
    lines = ({"prompt": f"{n} + {n} =", "completion": str(2 * n)} for n in range(count))
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def send(client: TestClient, content: bytes, **fields: str) -> Any:
    return client.post(CHECK, data=fields, files={"file": ("train.jsonl", content)})


def upload(client: TestClient, content: bytes) -> str:
    files = {"file": ("held_out.jsonl", content)}
    answer = client.post("/v1/files", data={"purpose": "fine-tune"}, files=files)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def test_200_malformed_files_are_answered_with_exactly_what_is_wrong(client: TestClient) -> None:
    for seed in range(200):
        made = make_malformed(seed)
        fields = {}
        if made.validation is not None:
            fields["validation_file_id"] = upload(client, made.validation)

        answer = send(client, made.training, **fields)

        assert answer.status_code == 200, (seed, answer.text)
        found = DatasetCheckAnswer.model_validate(answer.json())
        assert {(p.line, p.rule) for p in found.problems} == made.expected, seed
        assert not found.has_more


def test_a_checked_file_is_not_kept(client: TestClient, settings: Settings) -> None:
    assert send(client, b"{").status_code == 200

    assert list((settings.data_dir / "files").iterdir()) == []
    assert client.get("/v1/files").json()["data"] == []


def test_an_uploaded_file_is_checked_by_its_id(client: TestClient) -> None:
    content = good_lines(20)
    file_id = upload(client, content + content.splitlines(keepends=True)[4])
    held_out = upload(client, good_lines(3))

    answer = client.post(CHECK, json={"file_id": file_id, "validation_file_id": held_out})

    found = [(p["part"], p["line"], p["rule"]) for p in answer.json()["problems"]]
    assert found == [
        ("validation", 3, "few-examples"),
        ("training", 1, "leakage"),
        ("training", 2, "leakage"),
        ("training", 3, "leakage"),
        ("training", 21, "duplicate"),
    ]
    assert answer.json()["summary"]["validation_examples"] == 3


def test_a_rule_that_every_line_breaks_hides_no_other(client: TestClient) -> None:
    content = good_lines(LISTED_LINES + 100).replace(b"\n", b"\r\n") + b"[]\n"

    answer = send(client, content).json()

    assert answer["has_more"]
    assert answer["problems"][-1]["rule"] == "not-object"
    assert len(answer["problems"]) == LISTED_LINES + 1
    counts = {count["rule"]: count["lines"] for count in answer["summary"]["counts"]}
    assert counts == {"carriage-return": LISTED_LINES + 100, "not-object": 1}


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"file_id": "file-none"}, 404, "file_id"),
        ({"file_id": 3}, 422, "file_id"),
        ({}, 422, "file_id"),
        ([], 422, None),
        ({"file_id": "x", "lines": []}, 422, "lines"),
    ],
)
def test_a_wrong_question_is_told(
    client: TestClient, body: object, status: int, param: str | None
) -> None:
    answer = client.post(CHECK, json=body)

    assert answer.status_code == status, answer.text
    assert Problem.model_validate(answer.json()).param == param


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"model": "no/such-model"}, 422, "model"),
        ({"model": "../../etc"}, 422, "model"),
        ({"validation_file_id": "file-none"}, 404, "validation_file_id"),
        ({"purpose": "fine-tune"}, 422, "purpose"),
    ],
)
def test_a_wrong_form_is_told_and_leaves_nothing(
    client: TestClient, settings: Settings, fields: dict[str, str], status: int, param: str
) -> None:
    answer = send(client, good_lines(12), **fields)

    assert answer.status_code == status, answer.text
    assert answer.json()["param"] == param
    assert list((settings.data_dir / "files").iterdir()) == []


def test_no_body_at_all_is_told(client: TestClient) -> None:
    assert client.post(CHECK).status_code == 422


def test_a_file_over_the_limit_is_refused(make_client: MakeClient) -> None:
    client = make_client(upload_bytes=1000)

    assert send(client, good_lines(100)).status_code == 413


def test_tokens_are_those_of_a_listed_models_own_tokenizer(make_client: MakeClient) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    client = make_client(models={TINY: BASE_MODELS / TINY})
    tokenizer = tokenizers.Tokenizer.from_file(str(BASE_MODELS / TINY / "tokenizer.json"))
    texts = [part for n in range(12) for part in (f"{n} + {n} =", str(2 * n))]
    long = b'{"prompt": "Spell.", "completion": "' + b"ab cd " * 3000 + b'"}\n'

    answer = send(client, good_lines(12) + long, model=TINY).json()

    short = sum(len(tokenizer.encode(t, add_special_tokens=False).ids) for t in texts)
    tokens = answer["summary"]["tokens"]
    assert tokens["counted_by"] == f"the tokenizer of {TINY}"
    assert tokens["total"] - tokens["longest"] == short
    assert tokens["longest_line"] == 13
    assert [(p["line"], p["rule"]) for p in answer["problems"]] == [
        (13, "over-context"),
        (13, "long-answer"),
    ]


def test_the_command_finds_what_the_route_finds(
    run: Run, client: TestClient, tmp_path: Path
) -> None:
    file = tmp_path / "train.jsonl"
    file.write_bytes(make_malformed(3).training)

    ended = run("data", "check", str(file), "--json")

    said = json.loads(ended.out)
    sent = send(client, file.read_bytes()).json()
    assert said == sent
    assert ended.code == 2


def test_the_command_ends_well_with_a_clean_file_and_with_warnings(
    run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "train.jsonl"
    file.write_bytes(good_lines(20))
    clean = run("data", "check", str(file), "--model", TINY)
    file.write_bytes(good_lines(20) + b"\n")
    warned = run("data", "check", str(file))

    assert (clean.code, warned.code) == (0, 0)
    assert "Nothing is wrong." in clean.out
    assert "bytes per token, the profile of peftwise-tiny" in clean.out
    assert "warning blank-line" in warned.out
    assert "line 21: nothing but white space" in warned.out


def test_the_command_writes_a_repaired_copy_and_says_what_it_repaired(
    run: Run, tmp_path: Path
) -> None:
    file, out = tmp_path / "train.jsonl", tmp_path / "repaired.jsonl"
    content = b"\xef\xbb\xbf" + good_lines(20).replace(b"\n", b"\r\n") + b"\r\n"
    file.write_bytes(content)

    first = run("data", "check", str(file), "--fix", str(out))
    again = run("data", "check", str(file), "--fix", str(out))
    over_input = run("data", "check", str(file), "--fix", str(file))

    assert first.code == 0
    assert "line 1: the bytes EF BB BF" in first.out.replace(", column 1", "")
    assert first.out.count("[repaired]") == 12  # one, ten of 21, one
    assert "and 11 more lines" in first.out
    assert out.read_bytes() == good_lines(20)
    assert file.read_bytes() == content
    assert (again.code, over_input.code) == (2, 2)
    assert "never written over a file" in over_input.err


def test_the_command_finds_leakage(run: Run, tmp_path: Path) -> None:
    file, held_out = tmp_path / "train.jsonl", tmp_path / "held_out.jsonl"
    file.write_bytes(good_lines(20))
    held_out.write_bytes(good_lines(12))

    ended = run("data", "check", str(file), "--validation", str(held_out))

    assert ended.code == 2
    assert "error leakage" in ended.out
    assert "line 3: the prompt of line 3 of the validation file" in ended.out


def test_a_folder_of_a_model_counts_by_its_tokenizer(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    file = tmp_path / "train.jsonl"
    file.write_bytes(good_lines(20))

    ended = run("data", "check", str(file), "--model", str(BASE_MODELS / TINY), "--json")

    tokens = json.loads(ended.out)["summary"]["tokens"]
    assert (tokens["counted_by"], tokens["is_estimated"]) == (f"the tokenizer of {TINY}", False)


def test_a_model_that_is_not_known_is_told(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    file.write_bytes(good_lines(20))

    ended = run("data", "check", str(file), "--model", "no/such-model")

    assert ended.code == 2
    assert ended.out == ""
    assert "no/such-model" in ended.err


def test_what_a_file_says_cannot_steer_the_terminal(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    file.write_bytes(good_lines(20) + b'{"\x1b[31m": 1}\n{"prompt": "\\u001b]0;x\\u0007"}\n')

    ended = run("data", "check", str(file))

    assert "\x1b]" not in ended.out
    assert "\x1b[31m" not in ended.out
    assert "broken-json" in ended.out
