"""AdaLoRA gives up ranks while it trains; what is saved says what was trained."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM, LlamaConfig

from metadata.records import Configuration
from training_worker.adapter import add_adapter, load_adapter, save_adapter, trainable
from training_worker.adaptive_rank import allocate, orthogonality
from training_worker.checkpoints import copy_of, put_back
from training_worker.setting import Setting

IDS_BL = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6], [5, 3, 5, 8, 9, 7, 9, 3]])
STEPS, FIRST, TARGET, LINEARS = 20, 6, 2, 14
CONFIG = LlamaConfig(
    vocab_size=16,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
)
ASKED = Configuration.model_validate(
    {
        "method": {
            "name": "adalora",
            "target_r": TARGET,
            "init_r": FIRST,
            "lora_alpha": 12,
            "lora_dropout": 0.0,
            "orth_reg_weight": 0.1,
        },
        "optimizer": {"name": "adamw", "learning_rate": 5e-2},
    }
)


@pytest.fixture(autouse=True)
def _same_random_numbers() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def base(dtype: torch.dtype = torch.float32) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_config(CONFIG, dtype=dtype)
    return model.requires_grad_(False).eval()


def add(steps: int = STEPS, dtype: torch.dtype = torch.float32) -> Any:
    return add_adapter(base(dtype), ASKED, Setting(steps=steps))


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=IDS_BL).logits


def train(model: Any, *, first: int = 1, last: int = STEPS) -> None:
    optimizer = torch.optim.AdamW(trainable(model).values(), lr=5e-2)
    for number in range(first, last + 1):
        said = model(input_ids=IDS_BL).logits[:, :-1].flatten(0, 1)
        functional.cross_entropy(said, IDS_BL[:, 1:].flatten()).backward()
        orthogonality(model).backward()
        optimizer.step()
        allocate(model, number)
        optimizer.zero_grad()


def ranks(model: Any) -> int:
    """Return how many ranks all layers have together."""
    return sum(
        int((weight != 0).sum()) for name, weight in model.named_parameters() if "lora_E" in name
    )


def test_the_ranks_left_are_those_of_the_budget() -> None:
    model = add()

    train(model)

    # masked to the budget at step 14 of 20, and only those may move afterwards
    assert 0 < ranks(model) <= TARGET * LINEARS


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_runs_have_a_plan_too(steps: int, tmp_path: Path) -> None:
    model = add(steps)

    train(model, last=steps)
    save_adapter(model, ASKED, tmp_path / "adapter")

    torch.testing.assert_close(logits(load_adapter(base(), tmp_path / "adapter")), logits(model))


def test_a_checkpoint_from_before_the_budget_is_saved_whole(tmp_path: Path) -> None:
    model = add()
    train(model, last=3)
    early, said = copy_of(trainable(model)), logits(model)
    train(model, first=4)
    assert not torch.allclose(logits(model), said)

    put_back(early, trainable(model))
    save_adapter(model, ASKED, tmp_path / "adapter")

    torch.testing.assert_close(logits(load_adapter(base(), tmp_path / "adapter")), said)


def test_a_rehearsal_leaves_no_trace() -> None:
    rehearsed, plain = add(), add()
    put_back(copy_of(trainable(plain)), trainable(rehearsed))
    kept = copy_of(trainable(rehearsed))
    train(rehearsed, last=2)
    put_back(kept, trainable(rehearsed))

    train(rehearsed)
    train(plain)

    torch.testing.assert_close(logits(rehearsed), logits(plain))


def test_its_penalty_is_the_one_that_peft_adds_to_its_own_loss() -> None:
    model = add()
    bare = model(input_ids=IDS_BL).logits[:, :-1].flatten(0, 1)

    of_peft = model(input_ids=IDS_BL, labels=IDS_BL).loss

    alone = functional.cross_entropy(bare, IDS_BL[:, 1:].flatten())
    torch.testing.assert_close(orthogonality(model), of_peft - alone, rtol=1e-4, atol=1e-5)


def test_the_scale_is_not_trained_on_a_base_in_bf16() -> None:
    model = add(dtype=torch.bfloat16)

    assert not any("ranknum" in name for name in trainable(model))
