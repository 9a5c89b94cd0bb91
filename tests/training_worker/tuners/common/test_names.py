"""Every tuner of our own comes back from disk under any name and lives beside other adapters."""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file

from tests.training_worker.tuners.common.cases import (
    CASES,
    CONFIGS,
    IDS_BL,
    Case,
    adapted,
    adapter_weights,
    base,
    config,
    far,
    in_both_families,
    in_both_precisions,
    logits,
    move,
    of_every_tuner,
)

pytestmark = of_every_tuner


@pytest.mark.parametrize("low_cpu_mem_usage", [False, True])
@pytest.mark.parametrize("name", ["default", "another"])
@in_both_precisions
@in_both_families
def test_saved_and_loaded_under_any_name_it_says_the_same(
    case: Case, family: str, precision: str, name: str, low_cpu_mem_usage: bool, tmp_path: Path
) -> None:
    model = move(adapted(case, family, precision))
    said = logits(model)

    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(
        base(family, precision), tmp_path, adapter_name=name, low_cpu_mem_usage=low_cpu_mem_usage
    )

    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert not any("default" in key for key in saved)
    assert len(saved) >= len(adapter_weights(model))
    # unaligned in the file, numbers may be added up in another order
    close = 1e-6 if low_cpu_mem_usage else 0.0
    assert far(logits(loaded), said) <= close


@pytest.fixture(scope="module")
def of_a_fresh_process(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what every adapter says here, and what one fresh process says that loaded it."""
    folder = tmp_path_factory.mktemp("fresh")
    said = {}
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        for family in CONFIGS:
            base(family).save_pretrained(folder / family / "base")
            for case in CASES:
                model = move(adapted(case, family))
                model.save_pretrained(folder / family / case.id)
                said[f"{family}/{case.id}"] = logits(model)
    torch.save(IDS_BL, folder / "ids.pt")
    script = Path(__file__).with_name("load_adapters.py")
    subprocess.run([sys.executable, str(script), str(folder)], check=True)
    again = torch.load(folder / "logits.pt")
    return {name: (one, again[name]) for name, one in said.items()}


@in_both_families
def test_a_fresh_process_that_loads_it_says_the_same(
    case: Case, family: str, of_a_fresh_process: dict[str, Any]
) -> None:
    said, again = of_a_fresh_process[f"{family}/{case.id}"]

    assert far(again, said) <= 1e-6


def test_its_name_is_ours_in_what_is_saved(case: Case, tmp_path: Path) -> None:
    adapted(case, "llama").save_pretrained(tmp_path)

    kind = peft.PeftConfig.from_pretrained(tmp_path).peft_type

    assert kind.value == f"PEFTWISE_{case.config.method.upper()}"


@in_both_families
def test_adapters_live_beside_each_other(case: Case, family: str) -> None:
    model = move(adapted(case, family))
    first = logits(model)

    model.add_adapter("second", config(case, family))
    assert torch.equal(logits(model), first), "adding an adapter changed the output"
    move(model, "second", seed=4)
    assert torch.equal(logits(model), first)
    assert not any(w.requires_grad for w in adapter_weights(model, "second").values())
    model.set_adapter("second")
    second = logits(model)
    assert far(second, first) > 1e-4
    assert not any(w.requires_grad for w in adapter_weights(model).values())
    assert all(w.requires_grad for w in adapter_weights(model, "second").values())
    model.set_adapter("default")
    assert torch.equal(logits(model), first)

    model.set_adapter("second")
    model.delete_adapter("default")
    assert torch.equal(logits(model), second)
    assert not adapter_weights(model)


def test_an_adapter_named_like_a_module_is_refused(case: Case) -> None:
    model = adapted(case, "llama")

    with pytest.raises(ValueError, match="named like a module"):
        model.add_adapter("q_proj", config(case, "llama"))
    with pytest.raises(ValueError, match="named like a module"):
        get_peft_model(base("llama"), config(case, "llama"), adapter_name="mlp")
