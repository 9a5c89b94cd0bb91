"""Broken, endless and hostile files: nothing runs, nothing leaks, nothing crashes."""

import os
import pickle
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metadata.importers import rows
from tests.metadata.importers.conftest import trainer_folder


class Canary:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (Path.touch, (self.path,))


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


def test_a_parquet_with_row_groups_beyond_memory_is_refused(
    tmp_path: Path, take: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "LARGEST_ROW_GROUP_BYTES", 1000)
    table = pa.table({"model": [f"model-{n}" for n in range(5000)], "method": ["lora"] * 5000})
    pq.write_table(table, tmp_path / "runs.parquet")

    taken = take(tmp_path / "runs.parquet")

    assert taken.runs == []
    assert "row group" in taken.report.refused[0].reason


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
