"""Broken, endless and hostile files: nothing runs, nothing leaks, nothing crashes."""

import io
import json
import os
import pickle
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metadata.errors import InvalidRequest
from metadata.importers import archives, rows

STATE: dict[str, Any] = {
    "global_step": 20, "max_steps": 20, "epoch": 1.0, "log_history": [{"step": 10, "loss": 2.0}],
}  # fmt: skip
LORA = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "lora_dropout": 0.0}


class Canary:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (Path.touch, (self.path,))


def trainer_folder(folder: Path, state: str | bytes | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(STATE) if state is None else state
    raw = content if isinstance(content, bytes) else content.encode()
    (folder / "trainer_state.json").write_bytes(raw)
    (folder / "adapter_config.json").write_text(json.dumps(LORA))
    return folder


def test_no_pickle_is_ever_opened(tmp_path: Path, take: Any) -> None:
    canary = tmp_path / "ran"
    folder = trainer_folder(tmp_path / "out")
    bomb = pickle.dumps(Canary(canary))
    assert pickle.loads(bomb) is None  # it works
    assert canary.exists()
    canary.unlink()
    for name in ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "run.pkl"):
        (folder / name).write_bytes(bomb)
    disguised = tmp_path / "disguised"
    disguised.mkdir()
    for name in ("runs.csv", "runs.parquet", "mlflow.db", "metrics.json", "config.yaml"):
        (disguised / name).write_bytes(bomb)

    taken = take(tmp_path)

    assert len(taken.runs) == 1
    assert not canary.exists()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "null",
        "[1, 2]",
        '"text"',
        "[" * 100_000,
        '{"log_history":' * 50_000,
        json.dumps(STATE)[:-5],
        b"\xff\xfe\x00",
        b"\x80\x81\x82",
        json.dumps(STATE).encode() + b"\xff",
        '{"global_step": 1' + "0" * 5000 + "}",
    ],
    ids=[
        "empty", "cut at once", "null", "list", "text", "deep list", "deep object", "cut off",
        "half UTF-16", "no encoding", "a bad byte", "a number of 5,000 digits",
    ],
)  # fmt: skip
def test_a_state_that_cannot_be_read_is_refused_by_name(
    tmp_path: Path, take: Any, content: str | bytes
) -> None:
    trainer_folder(tmp_path / "good")
    trainer_folder(tmp_path / "bad", content)

    taken = take(tmp_path)

    assert len(taken.runs) == 1
    assert [one.where for one in taken.report.refused] == ["bad"]
    assert str(tmp_path) not in taken.report.model_dump_json()


@pytest.mark.parametrize(
    "odd",
    [
        {"global_step": 10**400}, {"epoch": float("nan")}, {"epoch": -1}, {"epoch": "many"},
        {"epoch": 1e300}, {"max_steps": None}, {"log_history": {"step": 1}},
        {"log_history": [None, 3, "x", {"step": -5, "loss": 1e400}, {"step": 1e300, "loss": 1}]},
        {"log_history": [{"step": 1, "loss": "\ud800", "\ud800\x00": 1.0, "": 2.0}]},
        {"log_history": [{"step": 1, "n" * 5000: 1.0}]}, {"train_batch_size": 10**30},
        {"num_input_tokens_seen": -3},
    ],
    ids=lambda odd: f"{next(iter(odd))} {str(next(iter(odd.values())))[:12]!a}",
)  # fmt: skip
def test_odd_values_are_left_out_and_the_run_is_taken(
    tmp_path: Path, take: Any, odd: dict[str, Any]
) -> None:
    state = json.dumps({**STATE, **odd})

    taken = take(trainer_folder(tmp_path / "out", state))

    assert len(taken.runs) == 1, taken.report.refused


@pytest.mark.parametrize(
    "config",
    [
        {"peft_type": None}, {"peft_type": 3}, {"peft_type": "LORA", "r": 10**400},
        {"peft_type": "../../etc/passwd"}, {"peft_type": "LORA", "r": float("inf")},
        {"peft_type": "LORA", "r": "8", "target_modules": {"a": 1}}, {},
        {"peft_type": "X" * 10_000, **{f"key{n}": n for n in range(500)}},
        {"peft_type": "LORA", "target_modules": ["q_proj"] * 100_000},
        {"peft_type": "LORA", "name": "other", "values": 1, "lora_alpha": [1]},
    ],
)  # fmt: skip
def test_odd_adapters_are_taken_as_they_are(tmp_path: Path, take: Any, config: Any) -> None:
    folder = trainer_folder(tmp_path / "out")
    (folder / "adapter_config.json").write_text(json.dumps(config))

    run = take(folder).only

    assert "configuration.method" in run.origin.gaps


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path, take: Any) -> None:
    outside = trainer_folder(tmp_path / "outside")
    inside = tmp_path / "inside"
    trainer_folder(inside / "real")
    (inside / "folder").symlink_to(outside)
    (inside / "linked").mkdir()
    (inside / "linked" / "trainer_state.json").symlink_to(outside / "trainer_state.json")
    (inside / "loop").symlink_to(inside)
    (inside / "real" / "adapter_config.json").unlink()
    (inside / "real" / "adapter_config.json").symlink_to("/etc/passwd")
    os.mkfifo(inside / "waiting.json")

    taken = take(inside)

    assert len(taken.runs) == 1
    assert taken.only.configuration.method.name == "unknown"


def test_a_link_inside_the_folder_is_followed(tmp_path: Path, take: Any) -> None:
    trainer_folder(tmp_path / "blobs")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "trainer_state.json").symlink_to(tmp_path / "blobs" / "trainer_state.json")

    assert len(take(tmp_path).runs) == 2  # one has no adapter


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b""),
        ("b.csv", b"\x00\x01\x02" * 1000),
        ("c.csv", b"model,method\n" + b'"' * 3_000_000),
        ("d.csv", b"model,method\ngpt2,lora\n\xff\xff,x\n"),
        ("e.csv", b"," * 100_000 + b"\n1\n"),
        ("f.parquet", b"PAR1" + b"\x00" * 100 + b"PAR1"),
        ("g.parquet", b""),
        ("h.db", b"SQLite format 3\x00" + b"\x00" * 4096),
        ("i.json", b'{"run_info": {}, "train_config": 1, "train_info": []}'),
        ("j.json", b'{"run_info": {"train_config": 5}, "train_info": {}, "meta_info": {}}'),
    ],
)
def test_broken_files_are_told_and_what_was_before_the_break_is_kept(
    tmp_path: Path, take: Any, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)

    taken = take(tmp_path)

    report = taken.report
    assert len(taken.runs) <= 1
    assert report.refused_count + report.left_aside_count + len(taken.runs) >= 1


def test_yaml_with_aliases_is_refused(tmp_path: Path, take: Any) -> None:
    (tmp_path / "wandb-summary.json").write_text('{"loss": 1.0}')
    lines = ["a0: &a0 {value: 1}"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    (tmp_path / "config.yaml").write_text("\n".join(lines))

    taken = take(tmp_path)

    assert "aliases" in taken.report.refused[0].reason


def test_yaml_that_would_make_objects_makes_none(tmp_path: Path, take: Any) -> None:
    (tmp_path / "wandb-summary.json").write_text('{"loss": 1.0}')
    canary = tmp_path / "ran"
    (tmp_path / "config.yaml").write_text(f"x: !!python/object/apply:os.mkdir ['{canary}']\n")

    taken = take(tmp_path)

    assert taken.report.refused_count == 1
    assert not canary.exists()


def test_a_store_whose_views_never_end_is_given_up(
    tmp_path: Path, take: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metadata.importers.mlflow_store.MOST_QUERY_SECONDS", 0.5)
    with sqlite3.connect(tmp_path / "mlflow.db") as store:
        store.executescript("""
            CREATE TABLE runs (run_uuid, status, start_time, end_time, lifecycle_stage,
                               experiment_id);
            CREATE TABLE experiments (experiment_id, name);
            CREATE TABLE metrics (key, value, step, timestamp, is_nan, run_uuid);
            CREATE TABLE endless (x);
            INSERT INTO runs VALUES ('a', 'FINISHED', 1, 2, 'active', 1);
            CREATE TABLE params (key, value, run_uuid);
        """)
        store.executescript("""
            ALTER TABLE params RENAME TO hidden;
            CREATE VIEW params AS
              WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)
              SELECT 'a' AS key, sum(x) AS value, 'a' AS run_uuid FROM n;
        """)
    store.close()

    taken = take(tmp_path)

    assert taken.runs == []  # `params` is no table: it is not even taken for a store


def test_a_file_that_may_not_be_read_is_refused_or_left_aside(
    tmp_path: Path, take: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs.csv").write_text("model,method\ngpt2,lora\n")
    (tmp_path / "result.json").write_text("{}")
    opened = Path.open

    def refuse(path: Path, *args: Any, **options: Any) -> Any:
        if path.parent == tmp_path:
            raise PermissionError(13, "not yours", str(path))
        return opened(path, *args, **options)

    monkeypatch.setattr(Path, "open", refuse)  # tests may run as root, who may read all

    taken = take(tmp_path)

    assert taken.runs == []
    assert "PermissionError" in taken.report.refused[0].reason
    assert taken.report.left_aside == ["result.json"]


def zip_of(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_DOT_", "."), content)
    return path


def test_a_zip_of_a_folder_is_taken_like_the_folder(tmp_path: Path, take: Any) -> None:
    folder = trainer_folder(tmp_path / "out")
    (folder / "optimizer.pt").write_bytes(b"\x80\x04.")
    archive = tmp_path / "out.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for path in folder.iterdir():
            target.write(path, f"out/{path.name}")

    assert take(archive).only.id == take(folder).only.id


@pytest.mark.parametrize(
    "name",
    ["../escaped.json", "/escaped.json", "a/../../escaped.json", "..\\escaped.json",
     "C:\\escaped.json", "C:/escaped.json"],
)  # fmt: skip
def test_names_that_lead_out_of_an_archive_write_nothing(
    tmp_path: Path, take: Any, name: str
) -> None:
    (tmp_path / "in").mkdir()
    archive = tmp_path / "in" / "runs.zip"
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr(name, json.dumps(STATE))
        target.writestr("ok/trainer_state.json", json.dumps(STATE))

    taken = take(archive)

    assert len(taken.runs) == 1
    assert taken.report.refused[0].where == "escaped.json"
    assert list(tmp_path.rglob("*escaped*")) == []


def test_a_link_in_an_archive_is_left_out(tmp_path: Path, take: Any) -> None:
    archive = tmp_path / "runs.zip"
    with zipfile.ZipFile(archive, "w") as target:
        link = zipfile.ZipInfo("run/trainer_state.json")
        link.external_attr = 0o120777 << 16
        target.writestr(link, "/etc/passwd")

    taken = take(archive)

    assert taken.runs == []
    assert taken.report.refused[0].reason == "it is a link"


def test_an_archive_that_unpacks_to_more_than_any_folder_of_runs_is_refused(
    tmp_path: Path, take: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MOST_BYTES", 4 * 2**20)
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
        for number in range(8):
            target.writestr(f"run{number}/trainer_state.json", b" " * 2**20)
    raw = bytearray(archive.read_bytes())
    assert len(raw) < 2**17

    with pytest.raises(InvalidRequest, match="may unpack to 4 MiB"):
        take(archive)


def test_an_archive_that_lies_about_its_sizes_is_refused(tmp_path: Path, take: Any) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("run/trainer_state.json", b" " * 100_000)
    raw = buffer.getvalue().replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    (tmp_path / "lies.zip").write_bytes(raw)

    with pytest.raises(InvalidRequest, match="cannot be unpacked"):
        take(tmp_path / "lies.zip")


@pytest.mark.parametrize("cut", [10, 100, 200])
def test_an_archive_cut_off_is_refused(tmp_path: Path, take: Any, cut: int) -> None:
    archive = zip_of(tmp_path / "runs.zip", run__trainer_state_DOT_json=json.dumps(STATE).encode())
    archive.write_bytes(archive.read_bytes()[:-cut])

    with pytest.raises(InvalidRequest, match="cannot be unpacked"):
        take(archive)


def test_a_parquet_with_row_groups_beyond_memory_is_refused(
    tmp_path: Path, take: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "LARGEST_ROW_GROUP_BYTES", 1000)
    table = pa.table({"model": [f"model-{n}" for n in range(5000)], "method": ["lora"] * 5000})
    pq.write_table(table, tmp_path / "runs.parquet")

    taken = take(tmp_path / "runs.parquet")

    assert taken.runs == []
    assert "row group" in taken.report.refused[0].reason


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner)
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    state=st.dictionaries(st.sampled_from([*STATE, "train_batch_size", "x"]), values),
    log=st.lists(
        st.dictionaries(
            st.sampled_from(["step", "loss", "eval_loss", "train_runtime", "learning_rate"]), values
        ),
        max_size=5,
    ),
    adapter=st.dictionaries(
        st.sampled_from([*LORA, "target_modules", "use_dora", "init_lora_weights"]), values
    ),
)
def test_whatever_the_json_says_it_is_a_run_or_refused(
    tmp_path_factory: pytest.TempPathFactory, take: Any, state: Any, log: Any, adapter: Any
) -> None:
    folder = tmp_path_factory.mktemp("out")
    (folder / "trainer_state.json").write_text(json.dumps({**state, "log_history": log}))
    (folder / "adapter_config.json").write_text(json.dumps(adapter))

    taken = take(folder)

    assert len(taken.runs) + taken.report.refused_count == 1


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    content=st.binary(max_size=300)
    | st.text(max_size=300).map(lambda t: t.encode("utf-8", "replace"))
)
def test_whatever_a_table_holds_it_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, take: Any, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("out")
    (folder / "runs.csv").write_bytes(b"model,method,lr,seed,accuracy\n" + content)

    taken = take(folder)

    assert taken.report.found == len(taken.runs)
