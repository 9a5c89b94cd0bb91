"""`python -m training_worker export`: from a saved adapter to what others load."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from training_worker.adapter import load_adapter
from training_worker.export_command import main
from training_worker.request import RunRequest
from training_worker.run import run

IDS = torch.tensor([[10, 40, 100, 60]])


@pytest.fixture
def adapter(make_request: Callable[..., RunRequest], tmp_path: Path) -> Path:
    result = run(make_request("lora", output_folder=tmp_path / "adapter"))
    assert result.state == "succeeded", result.reason
    return tmp_path / "adapter"


def logits(folder: str | Path) -> torch.Tensor:
    with torch.no_grad():
        return AutoModelForCausalLM.from_pretrained(folder)(IDS).logits


def test_merged_weights_say_what_the_adapter_says(
    adapter: Path, tiny_llama: str, tmp_path: Path
) -> None:
    options = ("--base", tiny_llama, "--serve-with", "merged", "--output", str(tmp_path / "out"))

    assert main([str(adapter), *options]) == 0

    model = load_adapter(AutoModelForCausalLM.from_pretrained(tiny_llama), adapter)
    with torch.no_grad():
        said = model(IDS).logits
    torch.testing.assert_close(logits(tmp_path / "out"), said, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(logits(tiny_llama), said, atol=1e-4)


def test_plain_lora_is_written_for_vllm(adapter: Path, tiny_llama: str, tmp_path: Path) -> None:
    options = ("--base", tiny_llama, "--serve-with", "vllm", "--output", str(tmp_path / "out"))

    assert main([str(adapter), *options]) == 0

    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "peftwise.json"} <= names


def test_an_output_that_is_there_is_left_alone(
    adapter: Path, tiny_llama: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    options = ("--base", tiny_llama, "--serve-with", "merged", "--output", str(tmp_path / "out"))

    assert main([str(adapter), *options]) == 2

    assert "new folder" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_a_folder_without_its_configuration_is_refused(
    adapter: Path, tiny_llama: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (adapter / "peftwise.json").unlink()
    options = ("--base", tiny_llama, "--serve-with", "merged", "--output", str(tmp_path / "out"))

    assert main([str(adapter), *options]) == 2

    assert "peftwise.json" in capsys.readouterr().err
