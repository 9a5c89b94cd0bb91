"""Every method's simulated step holds and trains what a real one does, on models of two layers."""

import gc
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedConfig

from metadata.features.model import profile_model
from metadata.methods import METHODS
from metadata.methods.spec import MethodSpec
from metadata.parameters import defaults
from metadata.records import Configuration
from metadata.space import exists, sample
from training_worker.adapter import add_adapter, trainable
from training_worker.data import Batch, Tokens
from training_worker.entries import resolve
from training_worker.loop import Learner, rehearse
from training_worker.model import DTYPES, prepare
from training_worker.optimizer import freeze
from training_worker.setting import Setting
from training_worker.simulation.question import Question
from training_worker.simulation.simulate import simulate

CONFIGS: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(
        vocab_size=96,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
    ),
    "gpt2": GPT2Config(
        vocab_size=96,
        n_embd=64,
        n_layer=2,
        n_head=4,
        n_positions=128,
        bos_token_id=0,
        eos_token_id=1,
    ),
}
ROWS, LENGTH, TOLERANCE = 4, 32, 0.01
IDS_BL = torch.arange(1, 17).reshape(2, 8)
SETTING = Setting(
    batches=(Batch(IDS_BL, torch.ones_like(IDS_BL), IDS_BL, targets=14, tokens=16),), steps=20
)
# Each works in a way of its own: beside the base, on its weights, by a cache, everywhere.
A_FEW = ("lora", "dora", "oft", "ia3", "bitfit", "vera", "prefix_tuning", "shira", "vblora", "full")


@cache
def at_defaults(name: str, family: str) -> Configuration:
    """Return the method at its defaults, or where these are too much here, as first sampled."""
    asked = Configuration.model_validate(
        {
            "method": {"name": name, **defaults(METHODS[name].parameters)},
            "optimizer": {"name": "adamw", "learning_rate": 1e-2},
            "target_modules": "all-linear",
        }
    )
    profile = profile_model(CONFIGS[family].to_dict(), id=f"tiny-{family}")
    if not exists(asked, profile):
        rng = np.random.default_rng(0)
        drawn = sample(profile, count=20, rng=rng, methods=[name], optimizers=["adamw"])
        if not drawn:
            pytest.skip("none of the method's values goes with this family")
        asked = asked.model_copy(update={"method": drawn[0].method})
    return asked


def asked_of(name: str, family: str, **changes: Any) -> Configuration:
    return at_defaults(name, family).model_copy(update=changes)


def learner(family: str, asked: Configuration) -> Learner:
    spec = METHODS[asked.method.name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        base = AutoModelForCausalLM.from_config(
            CONFIGS[family],
            dtype=DTYPES[asked.precision],
            attn_implementation=asked.attention,
        )
        model = add_adapter(base.requires_grad_(False), asked, SETTING)
    prepare(model, asked)
    held = freeze(model, asked)
    penalty = resolve(spec.penalty) if spec.penalty else None
    return Learner(model, trainable(model), "all", 0, penalty=penalty, held=held)


def texts(lengths: Sequence[int]) -> list[Tokens]:
    return [Tokens(tuple(range(1, length + 1)), (True,) * length) for length in lengths]


def question(family: str, asked: Configuration, **changes: Any) -> Question:
    usual: dict[str, Any] = {
        "model": CONFIGS[family].to_dict(),
        "configuration": asked,
        "micro_batch_size": ROWS,
        "length_tokens": LENGTH,
        "padded": False,
        "device_kind": "cpu",
    }
    return Question(**{**usual, **changes})


@pytest.fixture(autouse=True)
def _models_are_freed() -> Iterator[None]:
    """Free models at once: they hold themselves, and Python counts objects, not their bytes."""
    yield
    gc.collect()


@pytest.mark.parametrize("checkpointing", [False, True], ids=["", "checkpointing"])
@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("spec", METHODS.values(), ids=lambda spec: spec.name)
def test_it_holds_and_trains_what_a_real_step_does(
    spec: MethodSpec, family: str, checkpointing: bool
) -> None:
    if checkpointing and not spec.checkpoints:
        pytest.skip("the method's layers cannot be run again")
    asked = asked_of(spec.name, family, gradient_checkpointing=checkpointing)
    real = learner(family, asked)

    step = simulate(question(family, asked))

    measured = rehearse(real, [[texts([LENGTH] * ROWS)]], asked)
    assert step.peak_tensor_bytes == pytest.approx(measured, rel=TOLERANCE)
    assert step.trainable == sum(weight.numel() for weight in real.weights.values())
    assert step.notes == ()


@pytest.mark.parametrize("name", A_FEW)
def test_so_does_a_base_in_bf16(name: str) -> None:
    asked = asked_of(name, "llama", precision="bf16")

    step = simulate(question("llama", asked))

    measured = rehearse(learner("llama", asked), [[texts([LENGTH] * ROWS)]], asked)
    assert step.peak_tensor_bytes == pytest.approx(measured, rel=TOLERANCE)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", ["lora", "prefix_tuning", "full"])
def test_so_do_texts_of_different_lengths(name: str, attention: str) -> None:
    asked = asked_of(name, "llama", attention=attention)
    lengths = [LENGTH, LENGTH - 5, LENGTH - 10, LENGTH - 15]
    targets = sum(length - 1 for length in lengths) // ROWS

    step = simulate(question("llama", asked, padded=True, targets=targets))

    measured = rehearse(learner("llama", asked), [[texts(lengths)]], asked)
    assert step.peak_tensor_bytes == pytest.approx(measured, rel=TOLERANCE)


@pytest.mark.parametrize("name", ["lora", "full"])
def test_so_do_gradients_that_wait_for_another_micro_batch(name: str) -> None:
    asked = asked_of(name, "llama")
    micro = texts([LENGTH] * ROWS)

    step = simulate(question("llama", asked, accumulates=True))

    measured = rehearse(learner("llama", asked), [[micro, micro]], asked)
    assert step.peak_tensor_bytes == pytest.approx(measured, rel=TOLERANCE)
