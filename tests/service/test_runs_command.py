"""`peftwise runs export`, `note` and `delete`: inside the process and through a server."""

import csv
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from metadata.runs_file import read_runs
from service import serving
from service.settings import Settings


def test_runs_are_exported_by_the_ending(run: Any, tmp_path: Path) -> None:
    where = ("--filter", "method = 'dora'", "--fields", "score,method")

    for name in ("runs.csv", "runs.parquet"):
        said = run("runs", "export", str(tmp_path / name), *where)
        assert (said.code, said.out) == (0, ""), said.err

    lines = list(csv.DictReader((tmp_path / "runs.csv").read_text().splitlines()))
    table = pq.read_table(tmp_path / "runs.parquet")
    assert {line["method"] for line in lines} == {"dora"}
    assert [line["id"] for line in lines] == table["id"].to_pylist()


def test_whole_runs_come_from_a_server_as_they_are(
    run: Any, tmp_path: Path, command_folder: Path
) -> None:
    settings = Settings(data_dir=command_folder, executor="none", port=0)
    with serving.lend_server(settings):
        said = run("runs", "export", str(tmp_path / "all.parquet"), "--format", "runs")
        refused = run("runs", "export", str(tmp_path / "x.csv"), "--filter", "nothing = 1")

    assert said.code == 0, said.err
    assert len(read_runs(tmp_path / "all.parquet")) > 800
    assert (refused.code, "no field" in refused.err) == (2, True)
    assert not list(tmp_path.glob("*x.csv*"))


def test_what_cannot_be_exported_is_told_in_a_sentence(run: Any, tmp_path: Path) -> None:
    for arguments, words in (
        ((str(tmp_path / "runs.xlsx"),), "ends in .csv or .parquet"),
        ((str(tmp_path / "no" / "runs.csv"),), "cannot be written"),
        ((str(tmp_path / "runs.csv"), "--fields", "nothing"), "no field"),
    ):
        said = run("runs", "export", *arguments)
        assert (said.code, words in said.err) == (2, True), said.err


def test_a_run_is_noted_archived_restored_and_deleted(run: Any) -> None:
    listed = run("runs", "list", "--limit", "1").out
    run_id = next(word for word in listed.split() if len(word) == 32)

    noted = run("runs", "note", run_id, "--note", "odd", "--tag", "b", "--tag", "a", "--archive")
    assert noted.code == 0, noted.err
    assert "a, b" in noted.out
    shown = run("runs", "show", run_id).out
    assert all(word in shown for word in ("odd", "a, b", "Archived"))
    assert run_id not in run("runs", "list", "--limit", "50").out
    assert run_id in run("runs", "list", "--filter", "archived = true").out
    assert run("runs", "note", run_id, "--restore", "--no-tags").code == 0
    assert run_id in run("runs", "list", "--filter", "tags is null and note = 'odd'").out
    assert run("runs", "delete", run_id, "--yes").code == 0
    assert run("runs", "show", run_id).code == 1
    assert run("runs", "delete", run_id, "--yes").code == 1


def test_a_note_says_something(run: Any) -> None:
    said = run("runs", "note", "run-1")

    assert said.code == 2
    assert "Say what to change" in said.err
