"""The tuners of our own, each on two small families of models, and what tests do with them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from peft import get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedConfig
from transformers.pytorch_utils import Conv1D

from training_worker.tuners import (
    BitFitConfig,
    BOnlyConfig,
    LinChainConfig,
    PropulsionConfig,
    SsfConfig,
)

# d_in and d_out differ, and keys and values are grouped; GPT-2's maps are transposed
LLAMA = LlamaConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    bos_token_id=0,
    eos_token_id=1,
    pad_token_id=2,
)
GPT2 = GPT2Config(
    vocab_size=64,
    n_embd=32,
    n_layer=2,
    n_head=4,
    n_positions=32,
    bos_token_id=0,
    eos_token_id=1,
    resid_pdrop=0,
    embd_pdrop=0,
    attn_pdrop=0,
)
CONFIGS: dict[str, PreTrainedConfig] = {"llama": LLAMA, "gpt2": GPT2}
TARGETS = {"llama": ["q_proj", "v_proj", "down_proj"], "gpt2": ["c_attn", "c_fc"]}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
IDS_BL = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6], [5, 3, 5, 8, 9, 7, 9, 3]])


@dataclass(frozen=True, kw_only=True)
class Case:
    """A tuner with values, and what is known of it beforehand."""

    id: str
    config: type
    values: dict[str, Any] = field(default_factory=dict)
    count: Callable[[int, int, bool], int]  # (d_in, d_out, has a bias) -> trained numbers
    still: tuple[str, ...] = ()  # weights without a gradient at the first step
    adds_biases: bool = False  # by a merge, to maps that have none


RANK, LINKS = 4, 3
CASES = (
    Case(
        id="linchain",
        config=LinChainConfig,
        values={"r": RANK, "links": LINKS},
        count=lambda d_in, d_out, bias: RANK * (d_in + d_out) + LINKS * RANK**2,
        still=("linchain_A", "linchain_links"),
    ),
    Case(
        id="linchain-with-biases",
        config=LinChainConfig,
        values={"r": RANK, "links": LINKS, "chain_bias": True, "chain_init": "orthogonal"},
        count=lambda d_in, d_out, bias: RANK * (d_in + d_out) + LINKS * (RANK**2 + RANK),
        still=("linchain_A", "linchain_links", "linchain_link_biases"),
        adds_biases=True,
    ),
    Case(
        id="propulsion",
        config=PropulsionConfig,
        values={"degree": 3},
        count=lambda d_in, d_out, bias: d_out,
    ),
    Case(
        id="propulsion-with-biases",
        config=PropulsionConfig,
        values={"degree": 2, "train_biases": True},
        count=lambda d_in, d_out, bias: d_out * (1 + bias),
    ),
    Case(
        id="ssf",
        config=SsfConfig,
        count=lambda d_in, d_out, bias: 2 * d_out,
        adds_biases=True,
    ),
    Case(
        id="b_only_lora",
        config=BOnlyConfig,
        values={"r": RANK},
        count=lambda d_in, d_out, bias: RANK * d_out,
    ),
    Case(
        id="bitfit",
        config=BitFitConfig,
        count=lambda d_in, d_out, bias: d_out,
        adds_biases=True,
    ),
)

of_every_tuner = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
in_both_families = pytest.mark.parametrize("family", CONFIGS)
in_both_precisions = pytest.mark.parametrize("precision", DTYPES)


def base(family: str, precision: str = "fp32") -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_config(CONFIGS[family], dtype=DTYPES[precision])
        for module in model.modules():  # random, so that a bias that is forgotten shows
            if isinstance(module, nn.Linear | Conv1D) and module.bias is not None:
                nn.init.normal_(module.bias, std=0.1)
    return model.eval()


def config(case: Case, family: str, **changes: Any) -> Any:
    values = {"target_modules": TARGETS[family], "task_type": "CAUSAL_LM", **case.values, **changes}
    return case.config(**values)


def adapted(case: Case, family: str, precision: str = "fp32", **changes: Any) -> Any:
    return get_peft_model(base(family, precision), config(case, family, **changes)).eval()


def adapter_weights(model: Any, adapter: str = "default") -> dict[str, nn.Parameter]:
    return {n: w for n, w in model.named_parameters() if n.endswith(f".{adapter}")}


def move(model: Any, adapter: str = "default", *, spread: float = 0.1, seed: int = 3) -> Any:
    """Add noise to an adapter, from a seed of its own."""
    generator = torch.Generator().manual_seed(seed)
    for weight in adapter_weights(model, adapter).values():
        weight.data += spread * torch.randn(weight.shape, generator=generator)
    return model


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        said: torch.Tensor = model(input_ids=IDS_BL).logits
    return said


def far(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the largest difference, relative to the largest number."""
    return float((one.float() - other.float()).abs().max() / other.float().abs().max())


def without_adapters(model: Any) -> dict[str, torch.Tensor]:
    """Return the base's weights by their names in the base."""
    return {
        name.replace(".base_layer", "").removeprefix("base_model.model."): weight.detach()
        for name, weight in model.named_parameters()
        if model.prefix not in name
    }
