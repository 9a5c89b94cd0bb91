"""Tiny base models with random weights and a byte-level tokenizer, made once a session."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
)

from metadata.examples import Example, Turn
from metadata.methods import METHODS
from metadata.parameters import defaults
from metadata.records import Configuration
from training_worker.request import RunRequest, ScoreSettings

torch.set_num_threads(1)

CHAT_TEMPLATE = (
    "{% for message in messages %}<s>{{ message.role }}: {{ message.content }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant: {% endif %}"
)
LLAMA = LlamaConfig(
    vocab_size=258,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=128,
    bos_token_id=0,
    eos_token_id=1,
)
GPT2 = GPT2Config(
    vocab_size=258,
    n_embd=32,
    n_layer=2,
    n_head=4,
    n_positions=128,
    bos_token_id=0,
    eos_token_id=1,
)
SMALL_SCORES = ScoreSettings(validation_examples=8, test_examples=8, ranked_examples=4)

MakeRequest = Callable[..., RunRequest]


def byte_tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = ["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    ids = {token: number for number, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    fast.chat_template = CHAT_TEMPLATE
    return fast


def save_model(config: PreTrainedConfig, folder: Path) -> str:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return byte_tokenizer()


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_model(LLAMA, tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(scope="session")
def tiny_gpt2(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_model(GPT2, tmp_path_factory.mktemp("models") / "tiny-gpt2")


def question(number: int) -> Example:
    word = ["red", "green", "blue", "yellow"][number % 4]
    return Example(turns=None, prompt=f"Say {word} {number}:", completion=f" {word}")


def chat(number: int) -> Example:
    asked, answered = f"Count {number}", f"{number + 1}"
    turns = (Turn("user", asked), Turn("assistant", answered))
    return Example(turns=turns, prompt=asked, completion=answered)


def configuration(method: str = "lora", /, **changes: object) -> Configuration:
    values = {
        "method": {"name": method} | defaults(METHODS[method].parameters),
        "optimizer": {"name": "adamw", "learning_rate": 1e-2},
        "batch_size": 4,
        "epochs": 2,
        "max_length_tokens": 64,
    }
    return Configuration.model_validate(values | changes)


@pytest.fixture
def make_request(tiny_llama: str) -> MakeRequest:
    """Return a function that makes a small request; arguments change what it asks."""

    def make(
        method: str = "lora", /, *, base_model: str = tiny_llama, **changes: object
    ) -> RunRequest:
        of_request = {
            name: changes.pop(name) for name in list(changes) if name in RunRequest.__annotations__
        }
        values: dict[str, object] = {
            "base_model": base_model,
            "train": tuple(question(number) for number in range(24)),
            "validation": tuple(question(number) for number in range(24, 30)),
            "test": tuple(question(number) for number in range(30, 36)),
            "configuration": configuration(method, **changes),
            "scoring": SMALL_SCORES,
            "device": "cpu",
        }
        return RunRequest(**(values | of_request))  # type: ignore[arg-type]

    return make
