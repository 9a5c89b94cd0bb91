"""What the tests of exporters export, and a tiny model for what comes out to train."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

from metadata.methods import METHODS
from metadata.parameters import defaults
from metadata.records import Configuration, ModelProfile
from metadata.space import exists, sample
from service.exporters.source import DataFile, Source

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
LLAMA = LlamaConfig(
    vocab_size=258,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=128,
    bos_token_id=0,
    eos_token_id=1,
)
TEMPLATE = (
    "{% for message in messages %}<s>{{ message.role }}: "
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content }}</s>"
    "{% endgeneration %}{% else %}{{ message.content }}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant: {% endif %}"
)
PAIRS = [(f"{n} + 1 =", str(n + 1)) for n in range(20)]
RECORDS: dict[str, list[dict[str, Any]]] = {
    "prompt_completion": [{"prompt": asked, "completion": told} for asked, told in PAIRS],
    "messages": [
        {
            "messages": [
                {"role": "user", "content": asked},
                {"role": "assistant", "content": told},
            ]
        }
        for asked, told in PAIRS
    ],
    "text": [{"text": f"{asked} {told}"} for asked, told in PAIRS],
}


def make_profile(**changes: Any) -> ModelProfile:
    """Return the profile of the tiny model; keywords replace its fields."""
    usual: dict[str, Any] = {
        "id": "tiny",
        "family": "llama",
        "parameters": 120_000,
        "layers": 2,
        "hidden_size": 64,
        "heads": 4,
        "key_value_heads": 2,
        "head_size": 16,
        "mlp_width": 96,
        "vocabulary": 258,
        "context_tokens": 128,
        "tied_embeddings": False,
    }
    return ModelProfile(**(usual | changes))


def make_configuration(method: str = "lora", **changes: Any) -> Configuration:
    """Return a method at its defaults, or where these are too much here, as first sampled."""
    asked: dict[str, Any] = {
        "method": {"name": method, **defaults(METHODS[method].parameters)},
        "optimizer": {"name": "adamw", "learning_rate": 1e-3, "weight_decay": 0.0},
        "schedule": {"name": "cosine", "warmup_fraction": 0.1},
        "batch_size": 10,
        "epochs": 1.0,
        "max_length_tokens": 64,
    }
    found = Configuration.model_validate(asked | changes)
    if not exists(found, make_profile()):
        rng = np.random.default_rng(0)
        drawn = sample(make_profile(), count=20, rng=rng, methods=[method], optimizers=["adamw"])
        found = found.model_copy(update={"method": drawn[0].method})
    return found


def make_source(configuration: Configuration, **changes: Any) -> Source:
    """Return what is exported; keywords replace its fields."""
    usual: dict[str, Any] = {
        "recommendation_id": "rec-0a1b2c3d",
        "knowledge_version": "0f1e2d3c",
        "created_at": NOON,
        "rank": 2,
        "model": make_profile(),
        "configuration": configuration,
        "steps": 20,
        "micro_batch_size": 4,
        "devices": 1,
        "data": DataFile(name="train.jsonl", records="prompt_completion"),
    }
    return Source(**(usual | changes))


def save_tiny_model(folder: Path) -> str:
    """Write the tiny model, with random weights and a byte-level tokenizer."""
    vocabulary = ["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    ids = {token: number for number, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    fast.chat_template = TEMPLATE
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(LLAMA).save_pretrained(folder)
    fast.save_pretrained(folder)
    return str(folder)


def write_records(folder: Path, kind: str) -> None:
    """Write a training file of a kind of records."""
    lines = "".join(json.dumps(record) + "\n" for record in RECORDS[kind])
    (folder / "train.jsonl").write_text(lines)
