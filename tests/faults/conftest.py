"""A server that trains for real, and one whose attempts train without a model."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_campaign import light_server
from fault_server import MODEL_ID, Server, wait_for


@pytest.fixture
def wait() -> Callable[..., Any]:
    """Return a function that waits for a condition."""
    return wait_for


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model with random weights and one token a byte."""
    pytest.importorskip("torch", reason="needs the extra `worker`")
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = ["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={t: n for n, t in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    config = LlamaConfig(
        vocab_size=len(alphabet),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128,
        bos_token_id=0,
        eos_token_id=1,
    )
    folder = tmp_path_factory.mktemp("models") / "tiny"
    LlamaForCausalLM(config).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Server]:
    """Return a server that runs; it and all it started are gone after the last test of a file."""
    folder = tmp_path_factory.mktemp("server") / "data"
    server = Server(folder, {MODEL_ID: str(tiny_model)}, checkpoint_seconds=0.5, lease_seconds=12.0)
    yield server
    server.close()


@pytest.fixture
def light(tmp_path: Path) -> Iterator[Server]:
    """Return a server of light trainings, at a twentieth of the usual times."""
    server = light_server(tmp_path, parallel_runs=3)
    yield server
    server.close()


@pytest.fixture
def light_on_postgres(tmp_path: Path, postgres_url: str) -> Iterator[Server]:
    """Return a server of light trainings of some seconds, on PostgreSQL."""
    server = light_server(tmp_path, step_seconds=0.2, parallel_runs=3, database_url=postgres_url)
    yield server
    server.close()


@pytest.fixture
def attached(tmp_path: Path) -> Iterator[Server]:
    """Return a server that starts nothing: workers attach themselves."""
    server = light_server(tmp_path, executor="none", lease_seconds=6.0)
    yield server
    server.close()
