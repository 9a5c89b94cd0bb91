"""Every entry of the method table keeps its promise on models of two layers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedConfig

from metadata.architectures import ROLES, targeted
from metadata.checks import check
from metadata.methods import METHODS
from metadata.methods.spec import MethodSpec
from metadata.parameters import defaults
from metadata.records import Configuration, ModelProfile
from training_worker.adapter import add_adapter, load_adapter, save_adapter, trainable
from training_worker.optimizer import build_optimizer

LLAMA = LlamaConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
)
# Dropout off: outputs are compared.
GPT2 = GPT2Config(
    vocab_size=64, n_embd=32, n_layer=2, n_head=4, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0
)
PROFILES = {
    "llama": {"key_value_heads": 2, "mlp_width": 48, "biases": "none", "tied_embeddings": False},
    "gpt2": {"key_value_heads": 4, "mlp_width": 128, "biases": "all", "tied_embeddings": True},
}
CONFIGS = {"llama": LLAMA, "gpt2": GPT2}
IDS_BL = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6], [5, 3, 5, 8, 9, 7, 9, 3]])
CHANGES_NOTHING_AT_FIRST = set(METHODS)  # a method that does not start at the base leaves this set

pytestmark = [
    pytest.mark.parametrize("spec", METHODS.values(), ids=lambda spec: spec.name),
    pytest.mark.parametrize("family", CONFIGS),
]


@pytest.fixture(autouse=True)
def _same_random_numbers() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def base(family: str) -> torch.nn.Module:
    config: PreTrainedConfig = CONFIGS[family]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_config(config)
    return model.requires_grad_(False).eval()


def profile(family: str) -> ModelProfile:
    return ModelProfile(
        id=f"tiny-{family}",
        family=family,
        parameters=sum(weight.numel() for weight in base(family).parameters()),
        layers=2,
        hidden_size=32,
        heads=4,
        head_size=8,
        vocabulary=64,
        context_tokens=64,
        **PROFILES[family],
    )


def configuration(spec: MethodSpec, **changes: object) -> Configuration:
    values = {
        "method": {"name": spec.name, **defaults(spec.parameters)},
        "optimizer": {"name": "adamw", "learning_rate": 1e-2},
    }
    return Configuration.model_validate(values | changes)


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=IDS_BL).logits


def take_step(model: torch.nn.Module, asked: Configuration) -> float:
    optimizer = build_optimizer(trainable(model), asked)
    loss = model.train()(input_ids=IDS_BL, labels=IDS_BL).loss
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def test_its_defaults_are_a_configuration_that_can_exist(spec: MethodSpec, family: str) -> None:
    check(configuration(spec), profile(family))


@pytest.mark.parametrize("target", ROLES)
def test_its_formula_counts_the_weights_that_torch_counts(
    spec: MethodSpec, family: str, target: str
) -> None:
    asked = configuration(spec, target_modules=target)

    model = add_adapter(base(family), asked)

    of_formula = spec.trainable(
        asked.method.values, targeted(profile(family), asked.target_modules), profile(family)
    )
    assert of_formula == sum(weight.numel() for weight in trainable(model).values())


def test_it_starts_at_the_base(spec: MethodSpec, family: str) -> None:
    if spec.name not in CHANGES_NOTHING_AT_FIRST:
        pytest.skip("this method changes the output at once")
    before = logits(base(family))

    after = logits(add_adapter(base(family), configuration(spec)))

    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


def test_a_step_moves_the_trained_weights_and_no_others(spec: MethodSpec, family: str) -> None:
    model = add_adapter(base(family), configuration(spec))
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    trained = set(trainable(model))

    # LoRA's A has no gradient until B has left zero, so there are two steps.
    losses = [take_step(model, configuration(spec)) for _ in range(2)]

    moved = {
        name
        for name, weight in model.named_parameters()
        if not torch.equal(before[name], weight.detach())
    }
    assert all(torch.isfinite(torch.tensor(losses)))
    assert moved == trained


def test_a_saved_adapter_says_the_same_when_loaded(
    spec: MethodSpec, family: str, tmp_path: Path
) -> None:
    asked = configuration(spec)
    trained = add_adapter(base(family), asked)
    for _ in range(2):
        take_step(trained, asked)

    save_adapter(trained, asked, tmp_path / "adapter", base="tiny")
    loaded = load_adapter(base(family), asked, tmp_path / "adapter")

    assert not torch.allclose(logits(trained), logits(base(family)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits(loaded), logits(trained))
    suffixes = {file.suffix for file in (tmp_path / "adapter").iterdir()}
    assert suffixes <= {".safetensors", ".json", ".md"}
