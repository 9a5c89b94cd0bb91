import json
from math import log
from pathlib import Path

import pytest

from metadata.records import Probe
from tests.training_worker.conftest import question
from training_worker.probe import main, probe


@pytest.fixture(scope="module")
def probed(tiny_llama: str) -> Probe:
    return probe(tiny_llama, [question(number) for number in range(20)], device="cpu")


def test_a_base_that_knows_nothing_loses_the_log_of_its_vocabulary(probed: Probe) -> None:
    assert probed.loss_mean == pytest.approx(log(258), abs=0.5)
    assert 0 < probed.loss_spread < 1
    assert probed.token_accuracy is not None
    assert probed.token_accuracy < 0.2
    assert probed.gradient_norm is not None
    assert probed.gradient_norm > 0


def test_the_same_data_are_told_the_same(tiny_llama: str, probed: Probe) -> None:
    again = probe(tiny_llama, [question(number) for number in range(20)], device="cpu")

    assert again == probed


def test_the_command_reads_the_training_part_of_a_file(
    tiny_llama: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "examples.jsonl"
    examples = [question(number) for number in range(25)]
    lines = [json.dumps({"prompt": e.prompt, "completion": e.completion}) for e in examples]
    file.write_text("\n".join(lines))

    status = main([str(file), "--model", tiny_llama])

    assert status == 0
    told = Probe.model_validate_json(capsys.readouterr().out)
    assert told == probe(tiny_llama, examples[:20], device="cpu")


def test_a_file_that_is_not_there_is_said_without_its_folder(
    tiny_llama: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main([str(tmp_path / "none.jsonl"), "--model", tiny_llama])

    assert status == 2
    assert capsys.readouterr().err == "none.jsonl cannot be read: No such file or directory.\n"
