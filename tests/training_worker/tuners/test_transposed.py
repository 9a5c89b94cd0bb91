import peft
import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from training_worker.adapter import without_known_warnings
from training_worker.setting import Setting
from training_worker.tuners import transposed

IDS_BL = torch.arange(12).reshape(2, 6)


def adapted(folder: str) -> nn.Module:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(folder)
    config = peft.HiraConfig(r=2, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True)
    with without_known_warnings():
        made: nn.Module = transposed.add_hira(model, config, Setting())
    for name, weight in made.named_parameters():
        if "hira" in name:
            nn.init.normal_(weight)
    return made


def test_the_output_is_pefts_and_no_parameter_is_made_of_the_base_weights(
    tiny_gpt2: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transposed.layer, "transpose", transposed.layer.transpose)
    usual = peft.utils.other.transpose
    model = adapted(tiny_gpt2)
    made: list[nn.Parameter] = []

    def watched(weight: torch.Tensor, fan_in_fan_out: bool) -> torch.Tensor:
        found = usual(weight, fan_in_fan_out)
        made.extend([found] if isinstance(found, nn.Parameter) and fan_in_fan_out else [])
        return found

    ours = model(input_ids=IDS_BL).logits
    monkeypatch.setattr(transposed.layer, "transpose", watched)
    theirs = model(input_ids=IDS_BL).logits

    assert torch.equal(ours, theirs)
    assert made, "PEFT makes none any more: this repair can go"
