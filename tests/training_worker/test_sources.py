"""What methods are given of a model and of data, in every family of models."""

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from metadata.architectures import FAMILIES, norm_weights
from metadata.features.model import profile_model
from metadata.methods import METHODS
from metadata.records import Configuration
from training_worker.adapter import add_adapter, trainable
from training_worker.data import Batch
from training_worker.export import merge
from training_worker.sources import embedding_name, frequent_tokens
from training_worker.tuners.norms import norm_names

IDS_BL = torch.tensor([[5, 5, 5, 9, 2], [9, 7, 0, 0, 0]])
MASK_BL = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
BATCH = Batch(IDS_BL, MASK_BL, IDS_BL, targets=7, tokens=7)


def config(family: str) -> dict[str, Any]:
    sizes = {
        "model_type": family,
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    own = {
        "gpt2": {"n_inner": 48},
        "gpt_neox": {},
        "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    }
    return sizes | own.get(family, {"num_key_value_heads": 2, "head_dim": 8})


def base(family: str, dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(0)
    made = AutoConfig.for_model(**config(family))
    return AutoModelForCausalLM.from_config(made, dtype=dtype).requires_grad_(False).eval()


def norm_tuning(**changes: object) -> Configuration:
    return Configuration.model_validate(
        {
            "method": {"name": "ln_tuning"},
            "optimizer": {"name": "adamw", "learning_rate": 1e-3},
            **changes,
        }
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_norms_are_found_and_counted_in_every_family(family: str) -> None:
    model = add_adapter(base(family), norm_tuning())

    trained = sum(weight.numel() for weight in trainable(model).values())
    profile = profile_model(config(family), id=family)
    assert trained == norm_weights(profile)
    assert METHODS["ln_tuning"].trainable({}, (), profile) == trained


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3_text"])
def test_norms_move_by_less_than_a_step_of_bf16_and_merge_in_bf16(family: str) -> None:
    asked = norm_tuning(precision="bf16")
    model = add_adapter(base(family, torch.bfloat16), asked)
    before = model(input_ids=IDS_BL).logits
    weights = trainable(model)

    with torch.no_grad():
        for weight in weights.values():
            weight.add_(1e-3)

    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    after = model(input_ids=IDS_BL).logits
    assert after.dtype == torch.bfloat16
    assert not torch.equal(after, before)
    merged = merge(model, asked)
    assert {weight.dtype for weight in merged.parameters()} == {torch.bfloat16}
    torch.testing.assert_close(merged(input_ids=IDS_BL).logits, after, rtol=0.05, atol=0.02)


def test_norm_names_are_ends_of_module_paths() -> None:
    assert norm_names(base("gpt2")) == ["ln_1", "ln_2", "ln_f"]
    assert norm_names(base("qwen3")) == [
        "input_layernorm",
        "k_norm",
        "norm",
        "post_attention_layernorm",
        "q_norm",
    ]


@pytest.mark.parametrize(
    ("family", "name"), [("llama", "embed_tokens"), ("gpt2", "wte"), ("gpt_neox", "embed_in")]
)
def test_the_table_of_embeddings_is_found(family: str, name: str) -> None:
    assert embedding_name(base(family)) == name


def test_the_commonest_tokens_come_first_and_padding_does_not_count() -> None:
    model = base("llama")

    assert frequent_tokens(model, (BATCH,), 2) == [5, 9]
    assert frequent_tokens(model, (BATCH,), 4) == [2, 5, 7, 9]
    assert frequent_tokens(model, (BATCH,), 6) == [0, 1, 2, 5, 7, 9]
