import json
import subprocess
import sys
from pathlib import Path

import pytest

from training_worker.__main__ import COMMANDS, main

CONFIGURATION = {
    "method": {"name": "lora", "r": 4},
    "optimizer": {"name": "adamw", "learning_rate": 0.01},
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "data.jsonl"
    records = [{"prompt": f"Say {number}:", "completion": f" {number}"} for number in range(30)]
    file.write_text("\n".join(json.dumps(record) for record in records))
    return file


def arguments(data: Path, model: str, *more: str) -> list[str]:
    given = json.dumps(CONFIGURATION)
    return ["run", str(data), "--model", model, "--configuration", given, "--device", "cpu", *more]


def test_a_run_answers_as_json_and_leaves_an_adapter(data, tiny_llama, tmp_path, capsys) -> None:
    code = main(arguments(data, tiny_llama, "--output", str(tmp_path / "out"), "--json"))

    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    assert code == 0
    assert answer["state"] == "succeeded"
    assert answer["scores"]["best_loss"] < answer["scores"]["base_loss"]
    assert answer["adapter_folder"] == "out"
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()
    assert str(tmp_path) not in printed.out


def test_a_run_answers_as_a_table_and_reads_the_configuration_from_a_file(
    data, tiny_llama, tmp_path, capsys
) -> None:
    file = tmp_path / "configuration.json"
    file.write_text(json.dumps(CONFIGURATION))

    code = main(["run", str(data), "--model", tiny_llama, "--configuration", str(file)])

    assert code == 0
    assert "test loss, base" in capsys.readouterr().out


def test_a_run_that_fails_exits_with_1_and_its_reason(data, tiny_llama, capsys) -> None:
    code = main(arguments(data, tiny_llama, "--train-seconds", "0.0001", "--json"))

    assert code == 1
    assert json.loads(capsys.readouterr().out)["state"] == "timed_out"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--configuration", "{"], "JSON"),
        (["--configuration", "[]"], "configuration"),
        (["--configuration", '{"method": {"name": "lora"}}'], "optimizer"),
        (["--configuration", '{"method": 3}'], "method"),
        (["--configuration", "nowhere.json"], "nowhere.json"),
        (["--train-seconds", "0"], "train_seconds"),
        (["--evaluations", "0"], "--evaluations"),
        (["--output", "."], "new folder"),
        (["--seed", "-1"], "seed"),
    ],
)
def test_a_wrong_use_exits_with_2_and_says_what_is_wrong(
    more, words, data, tiny_llama, capsys
) -> None:
    code = main([*arguments(data, tiny_llama), *more])

    printed = capsys.readouterr()
    assert code == 2
    assert words in printed.err
    assert printed.out == ""


def test_a_broken_line_is_named(data, tiny_llama, capsys) -> None:
    lines = data.read_text().splitlines()
    lines[11] = "{broken"
    data.write_text("\n".join(lines))

    assert main(arguments(data, tiny_llama)) == 2
    assert "12" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_named(tmp_path, tiny_llama, capsys) -> None:
    assert main(arguments(tmp_path / "none.jsonl", tiny_llama)) == 2
    assert "none.jsonl" in capsys.readouterr().err


def test_an_unknown_command_lists_the_known_ones(capsys) -> None:
    assert main(["fly"]) == 2
    printed = capsys.readouterr().err
    assert all(name in printed for name in COMMANDS)
    assert main(["--help"]) == 0


def test_help_loads_no_torch() -> None:
    program = (
        "import sys; from training_worker.__main__ import main; main(['--help']);"
        "sys.exit('torch' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
