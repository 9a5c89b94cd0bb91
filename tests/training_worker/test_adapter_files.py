"""A saved adapter's config is somebody's upload: it is read as data, and does nothing else."""

import json
import pickle
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig

from metadata.errors import InvalidRequest
from metadata.records import Configuration
from training_worker.adapter import add_adapter, load_adapter, save_adapter, trainable
from training_worker.adapter_files import read_config

IDS = torch.tensor([[3, 1, 4, 1, 5]])


def base() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    return AutoModelForCausalLM.from_config(config).requires_grad_(False).eval()


def lora() -> Configuration:
    return Configuration.model_validate(
        {
            "method": {"name": "lora", "r": 2, "lora_alpha": 4, "lora_dropout": 0.0},
            "optimizer": {"name": "adamw", "learning_rate": 1e-3},
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = add_adapter(base(), lora())
    with torch.no_grad():
        for weight in trainable(model).values():
            weight.normal_()
    save_adapter(model, lora(), tmp_path / "adapter")
    return tmp_path / "adapter"


def change(folder: Path, **changes: object) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


class Opened:
    """What a pickle or an import would do first: leave a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


def test_an_adapter_of_ours_loads_with_its_update(folder: Path) -> None:
    loaded = load_adapter(base(), folder)

    with torch.no_grad():
        assert not torch.allclose(loaded(IDS).logits, base()(IDS).logits)


@pytest.mark.parametrize(
    "hostile",
    [
        {"auto_mapping": {"base_model_class": "X", "parent_library": "antigravity"}},
        {"megatron_config": {"a": 1}, "megatron_core": "antigravity"},
        {"target_modules": "(a+)+$"},
        {"target_modules": ["(.*)*x"]},
        {"rank_pattern": {"(x+x+)+y": 4}},
        {"loftq_config": {"loftq_bits": 4}},
        {"trainable_token_indices": [1, 2]},
        {"modules_to_save": ["lm_head"]},
        {"layer_replication": [[0, 1]] * 1000},
        {"r": {"__class__": "x"}},
        {"peft_type": "XLORA"},
        {"peft_type": None},
        {"peft_type": ["LORA"]},
        {"surprise": True},
    ],
    ids=lambda one: "-".join(one),
)
def test_a_config_that_says_more_than_values_is_refused(
    folder: Path, hostile: dict[str, object]
) -> None:
    change(folder, **hostile)

    with pytest.raises(InvalidRequest, match="cannot be loaded"):
        load_adapter(base(), folder)


def test_a_base_model_that_the_config_names_is_not_looked_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(folder, base_model_name_or_path="https://example.com/evil", revision="main")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", None)

    config = read_config(folder)

    assert config.base_model_name_or_path is None


def test_pickled_weights_are_never_opened(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "opened"
    (folder / "adapter_model.safetensors").unlink()
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Opened(mark)))

    with pytest.raises(InvalidRequest, match="safetensors"):
        load_adapter(base(), folder)
    assert not mark.exists()


def test_pickled_weights_beside_good_ones_are_never_opened(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "opened"
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Opened(mark)))

    load_adapter(base(), folder)

    assert not mark.exists()


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '"x"', "[" * 100_000])
def test_what_is_no_object_of_json_is_refused(folder: Path, text: str) -> None:
    (folder / "adapter_config.json").write_text(text)

    with pytest.raises(InvalidRequest, match="adapter_config"):
        load_adapter(base(), folder)


def test_a_config_of_megabytes_is_refused_unread(folder: Path) -> None:
    (folder / "adapter_config.json").write_text(" " * 2_000_000 + "{}")

    with pytest.raises(InvalidRequest, match="bytes"):
        load_adapter(base(), folder)


def test_no_path_of_this_machine_is_told(folder: Path) -> None:
    change(folder, surprise="x")

    with pytest.raises(InvalidRequest) as refusal:
        load_adapter(base(), folder)

    assert str(folder) not in str(refusal.value)


def test_weights_that_are_cut_off_are_refused(folder: Path) -> None:
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])

    with pytest.raises(InvalidRequest, match="base model"):
        load_adapter(base(), folder)


def test_weights_of_other_layers_are_refused(folder: Path) -> None:
    change(folder, target_modules=["self_attn.q_proj", "mlp.down_proj", "self_attn.nothing"])
    weights = load_file(folder / "adapter_model.safetensors")
    kept = {name: one for name, one in weights.items() if "down_proj" not in name}
    save_file(kept, folder / "adapter_model.safetensors")

    with pytest.raises(InvalidRequest, match="base model"):
        load_adapter(base(), folder)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")
def test_plain_peft_reads_what_is_saved(folder: Path) -> None:
    loaded = peft.PeftModel.from_pretrained(base(), str(folder))

    assert loaded.peft_config["default"].r == 2
