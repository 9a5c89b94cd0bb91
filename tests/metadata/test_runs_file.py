import contextlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metadata.errors import InvalidRequest
from metadata.records import Objective, Origin, Run
from metadata.run_rows import FIGURES, figures
from metadata.runs_file import SHIPPED_RUNS, read_runs, write_runs


@pytest.fixture
def runs(make_run: Any) -> list[Run]:
    failed = make_run(2, state="failed", reason="no disk", scores=None, costs=None, points=0)
    named = make_run(3, origin=Origin(source='"<b>\\u0000\U0001f525', detail="\n,"))
    dpo = make_run(4, objective=Objective(name="dpo", beta=0.3))
    return [make_run(0), make_run(1, points=1000, core=True), failed, named, dpo]


@pytest.fixture
def file(tmp_path: Path, runs: list[Run]) -> Path:
    path = tmp_path / "new" / "runs.parquet"
    write_runs(path, runs)
    return path


def _replace(file: Path, column: str, row: int, value: Any) -> None:
    """Write one cell anew, the rest and the file's own metadata as they were."""
    table = pq.read_table(file)
    rows = table.to_pylist()
    rows[row][column] = value
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), file)


def test_runs_come_back_as_they_were(file: Path, runs: list[Run]) -> None:
    assert read_runs(file) == runs


def test_no_runs_come_back_as_none(tmp_path: Path) -> None:
    write_runs(tmp_path / "runs.parquet", [])

    assert read_runs(tmp_path / "runs.parquet") == []


def test_the_same_runs_give_the_same_bytes(file: Path, runs: list[Run]) -> None:
    again = file.with_name("again.parquet")
    reordered = [run.model_copy(update={"versions": _backwards(run.versions)}) for run in runs]

    write_runs(again, reordered[::-1])

    assert again.read_bytes() == file.read_bytes()


def _backwards(versions: dict[str, str]) -> dict[str, str]:
    return dict(reversed(versions.items()))


def test_any_tool_can_read_the_figures(file: Path, runs: list[Run]) -> None:
    table = pq.read_table(file)

    assert table.select(FIGURES).to_pylist() == [figures(run) for run in runs]
    assert table.schema.field("score").type == pa.float64()
    assert table.schema.field("created_at").type == pa.timestamp("us", tz="UTC")
    assert pq.ParquetFile(file).metadata.row_group(0).column(0).compression == "ZSTD"


def test_a_write_that_fails_keeps_the_file_before(file: Path, runs: list[Run]) -> None:
    before = file.read_bytes()

    with pytest.raises(InvalidRequest, match="Two runs have the id run-00001"):
        write_runs(file, [*runs, runs[1]])

    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("id", "../../etc/passwd", "id: String should match"),
        ("state", "fine", "state: Input should be"),
        ("task", "{", "Expecting property name"),
        ("task", None, "task: "),
        ("configuration", json.dumps({"method": {"name": "lora"}}), "configuration.optimizer: "),
        ("scores", json.dumps({"base_loss": "NaN"}), "scores."),
        ("curve", None, "'NoneType' object is not iterable"),
        ("curve", "[[1, 2]]", "zip"),
        ("curve", '[["loss", -1, 0.5, "train"]]', "curve.0.step: "),
        ("curve", "[" * 100_000, "recursion"),
    ],
)
def test_a_bad_row_is_named(file: Path, column: str, value: Any, reason: str) -> None:
    _replace(file, column, 2, value)

    with pytest.raises(InvalidRequest, match=rf"Row 3 of runs.parquet is not a run: .*{reason}"):
        read_runs(file)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", b"id,state\n"])
def test_what_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "runs.parquet").write_bytes(content)

    with pytest.raises(InvalidRequest, match="cannot be read as Parquet") as caught:
        read_runs(tmp_path / "runs.parquet")

    assert str(tmp_path) not in str(caught.value)


def test_a_truncated_file_is_refused(file: Path) -> None:
    content = file.read_bytes()
    for length in range(0, len(content), len(content) // 10):
        file.write_bytes(content[:length])

        with pytest.raises(InvalidRequest, match="cannot be read as Parquet"):
            read_runs(file)


def test_a_damaged_file_is_refused_or_read_but_never_crashes(file: Path) -> None:
    content = bytearray(file.read_bytes())
    for position in range(4, len(content), max(1, len(content) // 200)):
        damaged = content.copy()
        damaged[position] ^= 0xFF
        file.write_bytes(damaged)
        with contextlib.suppress(InvalidRequest):  # any other error is a crash
            assert len(read_runs(file)) == 5


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"There is no file runs\.parquet"):
        read_runs(tmp_path / "runs.parquet")


def test_parquet_of_another_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    pq.write_table(pa.table({"id": ["a"]}), path)

    with pytest.raises(InvalidRequest, match="layout of runs 2, got none"):
        read_runs(path)


@pytest.mark.parametrize("change", ["drop", "retype", "twice"])
def test_a_column_that_is_missing_or_of_another_type_is_named(file: Path, change: str) -> None:
    table = pq.read_table(file)
    number = table.schema.get_field_index("core")
    if change == "drop":
        table = table.drop_columns(["core"])
    elif change == "retype":
        table = table.set_column(number, "core", pa.array(["yes"] * 5))
    else:
        table = table.append_column("core", table.column("core"))
    pq.write_table(table, file)

    with pytest.raises(InvalidRequest, match="column core"):
        read_runs(file)


@pytest.mark.skipif(not SHIPPED_RUNS.exists(), reason="no runs are shipped yet")
def test_the_shipped_runs_are_valid() -> None:
    runs = read_runs(SHIPPED_RUNS)

    assert len(runs) >= 400
    assert len({run.task.dataset.group for run in runs}) >= 12


def test_a_file_made_before_there_were_objectives_is_of_supervised_runs(
    tmp_path: Path, make_run: Any
) -> None:
    supervised = make_run(0)
    write_runs(tmp_path / "runs.parquet", [supervised])
    table = pq.read_table(tmp_path / "runs.parquet")
    old = table.drop_columns("objective").replace_schema_metadata({"peftwise.runs": "1"})
    pq.write_table(old, tmp_path / "old.parquet")

    assert read_runs(tmp_path / "old.parquet") == [supervised]
