"""What commands answer inside this process: recommendations, tables, runs, help."""

import json
from pathlib import Path
from typing import Any

import pytest

from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS, SCHEDULES
from service.recommender.schemas import RecommendationAnswer
from tests.service.conftest import ASK, Run, write_examples


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def command_folder(data_dir: Path) -> Path:
    return data_dir


def test_recommend_answers_without_a_server(run: Run, data_file: Path) -> None:
    ended = run("recommend", str(data_file), *ASK)

    assert ended.code == 0
    assert ended.err == ""
    for shown in ("Start with ", "Why number 1", "What this stands on", "the usual default"):
        assert shown in ended.out
    assert f"peftwise submit {data_file} --model peftwise-tiny --recommendation rec-" in ended.out


def test_the_same_question_has_the_same_answer_as_json(run: Run, data_file: Path) -> None:
    answers = [
        json.loads(run("recommend", str(data_file), *ASK, "--count", "3", "--json").out)
        for _ in range(2)
    ]

    for answer in answers:
        assert len(RecommendationAnswer.model_validate(answer).configurations) == 3
        answer.pop("created_at")
    assert answers[0] == answers[1]


def test_only_the_methods_asked_for_are_recommended(run: Run, data_file: Path) -> None:
    methods = ("--method", "ia3", "--method", "bitfit")
    answer = json.loads(run("recommend", str(data_file), *ASK, *methods, "--json").out)

    named = {one["configuration"]["method"]["name"] for one in answer["configurations"]}
    assert named <= {"ia3", "bitfit"}


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_the_answer_fits_the_terminal(
    run: Run, data_file: Path, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))

    lines = run("recommend", str(data_file), *ASK).out.splitlines()

    assert all(len(line) <= columns for line in lines[:-1])  # the command is for copying


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--device", "NVIDIA L40X"), "NVIDIA L40S"),
        (("--model", "no/such-model"), "no/such-model"),
        (("--model", "../secret"), "never a path"),
        (("--count", "0"), "0"),
        (("--count", "51"), "51"),
        (("--train-minutes", "0"), "train_minutes"),
        (("--train-minutes", "nan"), "train_minutes"),
        (("--memory-gib", "1e999"), "memory_gib"),
        (("--usd", "-1"), "usd"),
        (("--method", "magic"), "magic"),
        (("--objective", "beauty"), "beauty"),
        (("--serve-with", "ollama"), "ollama"),
    ],
)
def test_what_is_used_wrongly_is_told_in_a_sentence(
    run: Run, data_file: Path, arguments: tuple[str, ...], words: str
) -> None:
    ended = run("recommend", str(data_file), *ASK, *arguments)

    assert ended.code == 2
    assert ended.out == ""
    assert words in ended.err


def test_a_broken_line_is_named_by_its_number(run: Run, data_file: Path) -> None:
    lines = data_file.read_text().splitlines()
    lines[56] = "{broken"
    data_file.write_text("\n".join(lines))

    ended = run("recommend", str(data_file), *ASK)

    assert ended.code == 2
    assert "57" in ended.err


def test_an_empty_and_a_missing_file_are_used_wrongly(run: Run, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.touch()

    assert run("recommend", str(empty), *ASK).code == 2
    assert run("recommend", str(tmp_path / "missing.jsonl"), *ASK).code == 2


def test_a_config_file_must_be_json(run: Run, data_file: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text("{")

    ended = run("recommend", str(data_file), "--model", "my/own", "--config", str(config))

    assert ended.code == 2
    assert "config.json must hold JSON" in ended.err


def test_a_model_that_no_table_knows_is_answered_by_its_config(
    run: Run, data_file: Path, tmp_path: Path
) -> None:
    config = tmp_path / "config.json"
    sizes = {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4}
    heads = {"num_attention_heads": 8, "num_key_value_heads": 8, "vocab_size": 4096}
    config.write_text(
        json.dumps({"model_type": "llama", "max_position_embeddings": 1024, **sizes, **heads})
    )

    ended = run("recommend", str(data_file), "--model", "my/own", "--config", str(config), "--json")

    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["configurations"]


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize(
    ("command", "table"),
    [("methods", METHODS), ("optimizers", OPTIMIZERS), ("schedules", SCHEDULES)],
)
def test_a_table_is_listed_within_the_terminal(
    run: Run, command: str, table: Any, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))

    out = run(command).out

    listed = [one["name"] for one in json.loads(run(command, "--json").out)["data"]]
    assert listed == list(table)
    firsts = [line.split()[0] for line in out.splitlines() if line.strip()]
    assert set(table) <= set(firsts)  # a name is never folded
    assert all(len(line) <= columns for line in out.splitlines())


def test_one_method_is_shown_with_ranges_conditions_and_reasons(run: Run) -> None:
    out = " ".join(run("methods", "dora").out.split())

    assert "r: 1 to 256, on a log scale; default 16" in out
    assert "r is at most the smallest width it is used on." in out
    assert f"no: {METHODS['dora'].no_lora}" in out
    assert METHODS["dora"].paper in out
    assert "past runs on" in out
    assert json.loads(run("methods", "dora", "--json").out)["name"] == "dora"
    assert "Did you mean dora" in run("methods", "dorra").err


def test_what_is_to_load_the_result_narrows_the_recommendation(run: Run, data_file: Path) -> None:
    answer = json.loads(
        run("recommend", str(data_file), *ASK, "--serve-with", "vllm", "--json").out
    )

    named = {one["configuration"]["method"]["name"] for one in answer["configurations"]}
    assert all("vllm" in METHODS[name].served_by for name in named)
    refused = run("recommend", str(data_file), *ASK, "--method", "ia3", "--serve-with", "vllm")
    assert refused.code == 2
    assert METHODS["ia3"].no_lora in " ".join(refused.err.split())


def test_an_empty_list_of_jobs_says_so(run: Run) -> None:
    assert run("jobs").out.strip() == "No jobs yet."
    assert json.loads(run("jobs", "--json").out)["data"] == []


@pytest.mark.parametrize("command", [("runs", "show"), ("jobs", "show"), ("jobs", "cancel")])
def test_what_is_not_there_is_a_failure(run: Run, command: tuple[str, ...]) -> None:
    ended = run(*command, "no-such-id")

    assert ended.code == 1
    assert "no-such-id" in ended.err


def test_runs_are_listed_and_shown(run: Run) -> None:
    listed = json.loads(run("runs", "list", "--limit", "2", "--json").out)["data"]
    assert len(listed) == 2

    shown = run("runs", "show", listed[0]["id"])

    assert listed[0]["id"] in run("runs", "list").out
    assert listed[0]["task"]["dataset"]["name"] in shown.out
    assert json.loads(run("runs", "show", listed[0]["id"], "--json").out)["id"] == listed[0]["id"]


def test_a_filter_that_matches_nothing_says_so(run: Run) -> None:
    assert run("runs", "list", "--dataset", "none-such").out.strip() == "No runs match."
    assert run("runs", "list", "--state", "sideways").code == 2


def test_hostile_text_cannot_steer_the_terminal(run: Run, tmp_path: Path) -> None:
    named = write_examples(tmp_path / "\x1b[2Jevil[bold].jsonl")

    ended = run("recommend", str(named), *ASK)

    assert ended.code == 0, ended.err
    assert "\x1b" not in ended.out
    assert "evil[bold].jsonl" in ended.out


def test_help_is_one_line_for_each_command(run: Run) -> None:
    out = run("--help").out

    for command in (
        "serve",
        "recommend",
        "submit",
        "jobs",
        "runs",
        "methods",
        "optimizers",
        "schedules",
    ):
        assert command in out
