"""python -m metadata: every command on a small file of runs."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from metadata.__main__ import main
from metadata.knowledge import Knowledge
from metadata.published import read_figures
from metadata.runs_file import read_runs, write_runs


@pytest.fixture(scope="module")
def file(world: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "runs.parquet"
    write_runs(path, world.make_runs(datasets=5, sizes=(60,), extras=1))
    return path


@dataclass(frozen=True)
class Done:
    status: int
    stdout: str
    stderr: str


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    def run(*arguments: object) -> Done:
        status = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Done(status, said.out, said.err)

    return run


def test_describe_counts_what_is_in_a_file(call: Callable[..., Done], file: Path) -> None:
    done = call("describe", "--runs", file)

    assert done.status == 0, done.stderr
    assert "over 5 datasets; 16 core" in " ".join(done.stdout.split())
    assert "by training examples: " in done.stdout
    assert f"{len(read_figures())} published figures of 6 sources" in done.stdout


def test_describe_lists_what_is_not_compared_when_asked(
    call: Callable[..., Done], file: Path, tmp_path: Path
) -> None:
    runs = read_runs(file)
    little = runs[0].task.pair
    of_pair = [run for run in runs if run.task.pair == little]
    write_runs(tmp_path / "few.parquet", [*of_pair[:5], *(r for r in runs if r not in of_pair)])

    briefly = call("describe", "--runs", tmp_path / "few.parquet")
    whole = call("describe", "--runs", tmp_path / "few.parquet", "--not-compared")

    assert "compared: 4 of 5 tasks; --not-compared says why others are not" in briefly.stdout
    assert f"not compared: {runs[0].task.dataset.name} on" in whole.stdout


def test_fit_writes_knowledge_that_loads(
    call: Callable[..., Done], file: Path, tmp_path: Path
) -> None:
    done = call("fit", "--runs", file, "--output", tmp_path / "knowledge")

    assert done.status == 0, done.stderr
    assert Knowledge.load(tmp_path / "knowledge").version in done.stdout


def test_evaluate_prints_a_table_and_writes_json(
    call: Callable[..., Done], file: Path, tmp_path: Path
) -> None:
    kinds = ("--kind", "free", "--kind", "peft")
    done = call("evaluate", "--runs", file, *kinds, "--json", tmp_path / "figures.json")

    assert done.status == 0, done.stderr
    assert "ours" in done.stdout
    said = json.loads((tmp_path / "figures.json").read_text())["peft"]
    assert said["tasks"] == 5
    assert said["regret"]["portfolio"]["1"] >= said["regret"]["portfolio"]["16"]


def test_leaving_out_the_only_base_model_says_what_is_missing(
    call: Callable[..., Done], file: Path
) -> None:
    for left, words in (("model", "at least two of them"), ("largest", "a larger base model")):
        done = call("evaluate", "--runs", file, "--leave", left)
        assert (done.status, words in done.stderr) == (1, True), done.stderr


@pytest.mark.parametrize(
    "options",
    [
        ("--peft-only", "--kind", "time"),
        ("--leave", "model", "--table", "t"),
        ("--kind", "time", "--table", "t"),
    ],
)
def test_ways_to_play_that_do_not_go_together_are_refused(
    call: Callable[..., Done], file: Path, options: tuple[str, ...]
) -> None:
    done = call("evaluate", "--runs", file, *options)

    assert done.status == 2
    assert "Give one" in " ".join(done.stderr.split())


def test_import_then_export_gives_the_same_runs(
    call: Callable[..., Done], file: Path, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/history.sqlite"
    first, second = (call("import", file, "--database-url", url) for _ in range(2))
    done = call("export", tmp_path / "again.parquet", "--database-url", url)

    assert first.status == second.status == done.status == 0, done.stderr
    assert second.stdout.startswith("0 runs added")
    assert read_runs(tmp_path / "again.parquet") == read_runs(file)


def test_a_file_that_is_not_there_is_told_in_one_line(call: Callable[..., Done]) -> None:
    done = call("fit", "--runs", "nothing.parquet")

    assert done.status == 1
    assert done.stderr.splitlines() == ["There is no file nothing.parquet. Check the path."]


def test_an_unknown_command_is_wrong_use() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "metadata", "learn"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )

    assert done.returncode == 2
    assert "learn" in done.stderr
