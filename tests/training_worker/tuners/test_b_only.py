"""B-only LoRA is LoRA with an A that stays as it was drawn, and comes back as it was."""

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from training_worker.tuners import BOnlyConfig


@pytest.fixture(autouse=True)
def _same_random_numbers() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def net() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(10, 7), nn.Tanh(), nn.Linear(7, 3))


def values() -> dict[str, Any]:
    return {"r": 4, "lora_alpha": 6, "lora_dropout": 0.3, "target_modules": ["0"]}


def test_it_is_lora_with_a_frozen_step_by_step() -> None:
    ours = peft.get_peft_model(net(), BOnlyConfig(**values()))
    lora = peft.get_peft_model(net(), peft.LoraConfig(**values()))
    layer, theirs = ours.base_model.model[0], lora.base_model.model[0]
    theirs.lora_A["default"].weight.data.copy_(layer.b_only_A["default"])
    theirs.lora_A["default"].requires_grad_(False)
    x, wanted = torch.randn(16, 10), torch.randn(16, 3)

    losses = []
    for model in (ours, lora):
        torch.manual_seed(3)  # of dropout
        optimizer = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=1e-2)
        for _ in range(8):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model.train()(x), wanted)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))

    assert losses[:8] == losses[8:]
    assert losses[7] < losses[0]
    a, b, scaling = layer.lora_factors("default")
    assert torch.equal(a, theirs.lora_A["default"].weight)
    assert torch.equal(b, theirs.lora_B["default"].weight)
    assert scaling == theirs.scaling["default"]


def test_its_a_is_saved_and_loaded_whatever_the_seed(tmp_path: Path) -> None:
    model = peft.get_peft_model(net(), BOnlyConfig(**values()))
    drawn = model.base_model.model[0].b_only_A["default"].clone()
    model.save_pretrained(tmp_path)

    torch.manual_seed(99)
    again = peft.PeftModel.from_pretrained(net(), tmp_path, adapter_name="other")

    assert set(load_file(tmp_path / "adapter_model.safetensors")) == {
        "base_model.model.0.b_only_A",
        "base_model.model.0.b_only_B",
    }
    assert torch.equal(again.base_model.model[0].b_only_A["other"], drawn)


def test_each_adapter_draws_an_a_of_its_own() -> None:
    model = peft.get_peft_model(net(), BOnlyConfig(**values()))
    model.add_adapter("second", BOnlyConfig(**values()))

    held = model.base_model.model[0].b_only_A

    assert not torch.equal(held["default"], held["second"])
    assert not any("b_only_A" in name for name, _ in model.named_parameters())
