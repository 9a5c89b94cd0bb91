"""Past runs of other tools over HTTP and from the command line."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient

from metadata.history import History
from metadata.importers.reading import runs_at
from metadata.importers.report import Intake
from metadata.importers.spec import Given
from metadata.runs_file import SHIPPED_RUNS, read_runs, write_runs
from service.runs.importing import keep_runs, safe_name
from service.settings import Settings

SHARED = Path(__file__).parents[3] / "shared" / "data" / "runs"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ROUTE = "/v1/runs/import"
TABLE = (
    b"model,method,rank,lr,seed,train_seconds,accuracy\n"
    b"gpt2,lora,8,0.0002,1,60,0.5\n"
    b"gpt2,lora,16,0.0002,1,70,0.6\n"
)
STATE = {"global_step": 20, "max_steps": 20, "log_history": [{"step": 10, "loss": 2.0}]}
WHOLE = (  # all that learning needs but the data
    b"model,method,rank,alpha,lora_dropout,target_modules,optimizer,learning_rate,schedule,"
    b"batch_size,epochs,max_length_tokens,precision,device,train_seconds,base_loss,last_loss\n"
    b"gpt2,lora,8,16,0,attention,adamw,0.0002,linear,8,3,256,fp32,NVIDIA L40S,60,3.0,2.0\n"
)


def send(client: TestClient, content: bytes, name: str = "runs.csv", **fields: str) -> Any:
    return client.post(ROUTE, files={"file": (name, content)}, data=fields)


def taken(client: TestClient, content: bytes, name: str = "runs.csv", **fields: str) -> Any:
    answer = send(client, content, name, **fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_upload_is_taken_and_says_how_the_evidence_changed(client: TestClient) -> None:
    found = taken(client, TABLE)

    kept = found["kept"]
    assert (kept["added"], kept["unchanged"], kept["teaching"]) == (2, 0, 0)
    assert kept["after"]["runs"] == kept["before"]["runs"] + 2
    assert kept["after"]["models"] == kept["before"]["models"] + 1
    assert found["report"]["importers"] == {"csv": 2}
    assert any("batch size" in one["what"] for one in found["report"]["guessed"])
    assert "the knowledge stays as it is" in found["learning"]


def test_a_second_import_changes_nothing(client: TestClient) -> None:
    taken(client, TABLE)
    before = client.get("/v1/runs", params={"limit": 1000, "filter": "origin.source = 'csv'"})

    again = taken(client, TABLE, "another name.csv")

    after = client.get("/v1/runs", params={"limit": 1000, "filter": "origin.source = 'csv'"})
    assert (again["kept"]["added"], again["kept"]["unchanged"]) == (0, 2)
    assert again["kept"]["before"] == again["kept"]["after"]
    assert after.json()["data"] == before.json()["data"]


def test_an_imported_run_can_be_found_with_what_it_leaves_open(client: TestClient) -> None:
    taken(client, TABLE)

    where = "origin.source = 'csv' and origin.gaps like '%task.dataset%' and rank = 16"
    found = client.get("/v1/runs", params={"filter": where}).json()["data"]

    assert len(found) == 1
    assert found[0]["score"] is None
    curve = client.get(f"/v1/runs/{found[0]['id']}/curve").json()["data"]
    assert curve == [{"name": "accuracy", "step": 0, "value": 0.6, "split": "test"}]
    page = client.get(f"/runs/{found[0]['id']}").text
    assert "its source does not tell" in page
    assert "so nothing is learnt from it" in page


def test_rows_that_are_no_runs_are_refused_and_the_others_taken(client: TestClient) -> None:
    rows = b"model,method,state\ngpt2,lora,running\ngpt2,lora,finished\n"

    found = taken(client, rows)

    assert found["kept"]["added"] == 1
    assert found["report"]["refused"] == [
        {"where": "runs.csv, row 2",
         "reason": "it is still under way. Import it again once it has ended."}
    ]  # fmt: skip


def test_a_zip_of_a_folder_is_taken_and_no_pickle_in_it_runs(
    client: TestClient, tmp_path: Path
) -> None:
    canary = tmp_path / "ran"

    class Canary:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
            return (Path.touch, (canary,))

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("out/trainer_state.json", json.dumps(STATE))
        archive.writestr("out/training_args.bin", pickle.dumps(Canary()))
        archive.writestr("out/args.json", pickle.dumps(Canary()))

    found = taken(client, buffer.getvalue(), "out.zip")

    assert found["report"]["importers"] == {"huggingface_trainer": 1}
    assert not canary.exists()


def test_an_archive_that_leads_out_writes_nothing_and_leaves_nothing(
    client: TestClient, settings: Settings
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../escaped.json", json.dumps(STATE))

    found = taken(client, buffer.getvalue(), "../../evil.zip")

    assert found["kept"]["added"] == 0
    assert found["report"]["refused"][0]["reason"] == "its name leads out of the archive"
    assert list(settings.data_dir.parent.rglob("*escaped*")) == []
    assert list(settings.data_dir.parent.rglob("*evil*")) == []
    assert list((settings.data_dir / "imports").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"", "runs.bin", "is of no kind that is known"),
        (b"PK\x03\x04 cut off", "runs.zip", "cannot be unpacked"),
        (b"{", "runs.json", "is of no kind that is known"),
        (b"\x80\x04.", "optimizer.pt", "is of no kind that is known"),
    ],
)
def test_what_is_of_no_kind_is_told_in_a_sentence(
    client: TestClient, settings: Settings, content: bytes, name: str, words: str
) -> None:
    answer = send(client, content, name)

    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert str(settings.data_dir) not in answer.text
    assert list((settings.data_dir / "imports").iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"format": "pickle"}, 422, "format"),
        ({"map": "learning_rate"}, 422, "map"),
        ({"map": "learning_rat=lr"}, 422, "map"),
        ({"model": "/etc/passwd"}, 422, "model"),
        ({"device": "NVIDIA L40X"}, 422, "hardware.device"),
        ({"dataset_file_id": "file-none"}, 404, "dataset_file_id"),
        ({"check": "perhaps"}, 422, "check"),
        ({"path": "/etc/passwd"}, 422, "path"),
        ({"url": "http://127.0.0.1/"}, 422, "url"),
    ],
)
def test_a_field_that_cannot_be_is_named(
    client: TestClient, fields: dict[str, str], status: int, param: str
) -> None:
    answer = send(client, TABLE, **fields)

    assert (answer.status_code, answer.json()["param"]) == (status, param)


def test_a_form_without_a_file_opens_nothing(client: TestClient) -> None:
    answer = client.post(ROUTE, data={"file": "/etc/passwd"}, files={"other": ("", b"")})

    assert answer.status_code == 422
    assert "root:" not in answer.text


def test_only_forms_are_taken(client: TestClient) -> None:
    answer = client.post(ROUTE, json={"path": "/etc/passwd"})

    assert answer.status_code == 415


def test_the_key_is_asked_for(make_client: Any) -> None:
    client = make_client(api_key="a long key that only tests know")

    assert send(client, TABLE).status_code == 401


def test_an_upload_over_the_limit_is_refused(make_client: Any) -> None:
    client = make_client(upload_bytes=2000)

    assert send(client, TABLE * 100).status_code == 413


def test_columns_are_mapped(client: TestClient) -> None:
    rows = b"net,how,eta\ngpt2,lora,0.123\n"

    taken(client, rows, map="model=net\nmethod=how\nlearning_rate=eta\n")

    found = client.get("/v1/runs", params={"filter": "learning_rate = 0.123"}).json()["data"]
    assert found[0]["task"]["model"]["id"] == "gpt2"


def test_with_the_training_file_a_run_that_tells_the_rest_can_be_learnt_from(
    client: TestClient, file_id: str
) -> None:
    found = taken(client, WHOLE, dataset_file_id=file_id)

    assert found["kept"]["teaching"] == 1
    assert "1 of the 1 new runs can be learnt from" in found["learning"]
    where = {"filter": "origin.source = 'csv'"}
    run = client.get("/v1/runs", params=where).json()["data"][0]
    assert run["score"] == 1.0
    profile = client.get(f"/v1/files/{file_id}").json()["peft"]["profile"]
    assert run["task"]["dataset"] == profile


def test_our_own_parquet_comes_back_as_it_was(make_client: Any, tmp_path: Path) -> None:
    runs = read_runs(SHIPPED_RUNS)[:20]
    renamed = [run.model_copy(update={"id": f"copy-{run.id}"[:64]}) for run in runs]
    write_runs(tmp_path / "runs.parquet", renamed)
    client = make_client()

    found = taken(client, (tmp_path / "runs.parquet").read_bytes(), "runs.parquet")

    assert (found["kept"]["added"], found["kept"]["teaching"]) == (20, 20)
    assert found["report"]["importers"] == {"peftwise": 20}
    ours, theirs = (client.get(f"/v1/runs/{one.id}").json() for one in (runs[0], renamed[0]))
    assert {**ours, "id": ""} == {**theirs, "id": ""}


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("runs.csv", "runs.csv"), ("../../x/.csv", "upload.csv"), ("a\\b.JSON", "b.json"),
        ("", "upload.bin"), ("..", "_.bin"), ("x" * 300 + ".db", "x" * 100 + ".db"),
        ("ü \x00.parquet", "___.parquet"), ("noending", "upload.noending"),
    ],
)  # fmt: skip
def test_an_upload_gets_a_plain_name(label: str, name: str) -> None:
    assert safe_name(label) == name


def test_the_command_takes_a_folder_and_the_second_time_nothing(run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "runs.csv").write_bytes(TABLE.replace(b"gpt2", b"gpt2-large"))
    (folder / "trainer_state.json.bak").write_text("{}")

    first = run("runs", "import", str(folder), "--json")
    second = run("runs", "import", str(folder))

    assert (first.code, second.code) == (0, 0)
    answer = json.loads(first.out)
    assert answer["kept"]["added"] == 2
    assert answer["report"]["importers"] == {"csv": 2}
    assert "0 new, 2 known before, 0 refused." in second.out
    assert "No run is new" in second.out


def test_the_command_tells_what_was_guessed_and_refused(run: Any, tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_bytes(
        b"model,method,state\ngpt2,magic,running\ngpt2,magic,done\n"
    )

    ended = run("runs", "import", str(tmp_path / "runs.csv"), "--map", "model=model")

    assert ended.code == 0
    assert "our tables have no method magic" in ended.out
    assert "runs.csv, row 2: it is still under way" in ended.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nowhere",), 2, "There is no file or folder"),
        (("http://",), 2, "names a server"),
        (("http://127.0.0.1:9",), 1, "does not answer"),
        ((".", "--format", "pickle"), 2, "The format is one of"),
        ((".", "--map", "lr"), 2, "ours=theirs"),
        ((".", "--model", "../x"), 2, "never a path"),
    ],
)
def test_the_command_used_wrongly_says_so(
    run: Any, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    place = str(tmp_path) if arguments[0] == "." else arguments[0]

    ended = run("runs", "import", place, *arguments[1:])

    assert (ended.code, words in ended.err) == (code, True), ended.err


def test_a_folder_without_runs_is_told_and_the_command_fails(run: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text("{}")

    ended = run("runs", "import", str(tmp_path))

    assert ended.code == 1
    assert "notes.json" in ended.out


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared tables of runs are not here")
def test_a_second_import_of_real_folders_changes_nothing(engine: Engine) -> None:
    history = History(engine)

    def keep() -> Any:
        runs = runs_at(SHARED / "trainer_folders", given=Given(), intake=Intake(), now=NOON)
        return keep_runs(history, runs)

    first = keep()
    ids = sorted(run.id for run in history.stream())
    curves = {run_id: history.curve(run_id) for run_id in ids}
    second = keep()

    assert (first.added, second.added, second.unchanged) == (35, 0, 35)
    assert first.after == second.before == second.after
    assert {run.id: history.curve(run.id) for run in history.stream()} == curves


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared tables of runs are not here")
def test_all_real_folders_are_kept_once_and_change_no_knowledge(client: TestClient) -> None:
    services = client.app.state.services  # type: ignore[attr-defined]

    def keep() -> Any:
        runs = runs_at(SHARED, given=Given(), intake=Intake(), now=NOON)
        return keep_runs(services.history, runs)

    first, second = keep(), keep()
    refitted = client.post("/v1/knowledge/refit").json()

    assert (first.added, second.added, second.unchanged) == (2770, 0, 2770)
    assert second.before == second.after
    assert "No run is new" in refitted["reason"]


@pytest.mark.slow
def test_a_check_learns_from_the_new_runs_and_compares_on_datasets_left_out(
    client: TestClient, file_id: str
) -> None:
    found = taken(client, WHOLE, dataset_file_id=file_id, check="true")

    refitted = found["refit"]
    assert refitted["after"]["runs"] == refitted["before"]["runs"] + 1
    assert "on" in found["learning"]
    assert "datasets left out" in found["learning"]
