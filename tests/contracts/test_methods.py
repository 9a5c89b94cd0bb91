"""Every entry of the method table keeps its promise on models of two layers."""

import gc
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedConfig

from metadata.architectures import ROLES, targeted
from metadata.checks import check, check_serving
from metadata.errors import InvalidConfiguration
from metadata.methods import METHODS
from metadata.methods.spec import MethodSpec
from metadata.parameters import defaults
from metadata.records import Configuration, ModelProfile, TargetModules
from metadata.space import exists, sample
from training_worker.adapter import add_adapter, save_adapter, trainable
from training_worker.data import Batch
from training_worker.export import merge
from training_worker.optimizer import build_optimizer
from training_worker.scoring import target_logits
from training_worker.setting import Setting

VOCABULARY, LAYERS, CONTEXT = 96, 2, 128
# d_in and d_out differ, and keys and values are grouped.
LLAMA = LlamaConfig(
    vocab_size=VOCABULARY,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=LAYERS,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=CONTEXT,
)
# Dropout off: outputs are compared.
GPT2 = GPT2Config(
    vocab_size=VOCABULARY,
    n_embd=64,
    n_layer=LAYERS,
    n_head=4,
    n_positions=CONTEXT,
    resid_pdrop=0,
    embd_pdrop=0,
    attn_pdrop=0,
)
CONFIGS: dict[str, PreTrainedConfig] = {"llama": LLAMA, "gpt2": GPT2}
PROFILES = {
    "llama": {"key_value_heads": 2, "mlp_width": 96, "biases": "none", "tied_embeddings": False},
    "gpt2": {"key_value_heads": 4, "mlp_width": 256, "biases": "all", "tied_embeddings": True},
}
IDS_BL = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6], [5, 3, 5, 8, 9, 7, 9, 3]])
BATCH = Batch(IDS_BL, torch.ones_like(IDS_BL), IDS_BL, targets=14, tokens=16)
SETTING = Setting(batches=(BATCH,), steps=20)
STEPS = 3  # LoRA's A has no gradient until B has left zero
CLOSE = {"rtol": 1e-4, "atol": 2e-5}


def base(family: str, *, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_config(CONFIGS[family], dtype=dtype)
    return model.requires_grad_(False).eval()


def profile(family: str) -> ModelProfile:
    return ModelProfile(
        id=f"tiny-{family}",
        family=family,
        parameters=sum(weight.numel() for weight in base(family).parameters()),
        layers=LAYERS,
        hidden_size=64,
        heads=4,
        head_size=16,
        vocabulary=VOCABULARY,
        context_tokens=CONTEXT,
        **PROFILES[family],
    )


def samples(spec: MethodSpec, family: str, *, count: int) -> list[Configuration]:
    rng = np.random.default_rng(0)
    return sample(profile(family), count=count, rng=rng, methods=[spec.name], optimizers=["adamw"])


def at_defaults(spec: MethodSpec, target: TargetModules = "all-linear") -> Configuration:
    return Configuration.model_validate(
        {
            "method": {"name": spec.name, **defaults(spec.parameters)},
            "optimizer": {"name": "adamw", "learning_rate": 1e-2},
            "target_modules": target,
        }
    )


def configuration(
    spec: MethodSpec, family: str, target: TargetModules = "all-linear"
) -> Configuration:
    """Return the method at its defaults, or where these are too much here, as first sampled."""
    asked = at_defaults(spec, target)
    if not exists(asked, profile(family)):
        drawn = samples(spec, family, count=20)
        if not drawn:
            pytest.skip("none of the method's values goes with this family")
        asked = asked.model_copy(update={"method": drawn[0].method})
    return asked


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return target_logits(model.eval(), BATCH)[0]


def loss(model: torch.nn.Module) -> float:
    with torch.no_grad():
        found, labels, _ = target_logits(model.eval(), BATCH)
    return float(torch.nn.functional.cross_entropy(found, labels))


def add(spec: MethodSpec, family: str, asked: Configuration) -> torch.nn.Module:
    return add_adapter(base(family), asked, SETTING)


def train(model: torch.nn.Module, asked: Configuration, *, steps: int = STEPS) -> list[float]:
    optimizer = build_optimizer(trainable(model), asked)
    losses = []
    for _ in range(steps):
        found, labels, _ = target_logits(model.train(), BATCH)
        loss = torch.nn.functional.cross_entropy(found, labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses


def trained(spec: MethodSpec, family: str) -> tuple[torch.nn.Module, Configuration]:
    asked = configuration(spec, family)
    model = add(spec, family, asked)
    train(model, asked)
    return model, asked


@pytest.fixture(autouse=True)
def _same_random_numbers() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def _models_are_freed() -> Iterator[None]:
    """Free models at once: they hold themselves, and Python counts objects, not their bytes."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def reloaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[object, object]]:
    """Return what every method says after training, and after one fresh process loaded it."""
    folder = tmp_path_factory.mktemp("reloaded")
    torch.save(IDS_BL, folder / "ids.pt")
    said: dict[str, object] = {}
    for family in CONFIGS:
        base(family).save_pretrained(folder / "bases" / family)
        for spec in METHODS.values():
            name = f"{family}--{spec.name}"
            try:
                torch.manual_seed(0)
                model, asked = trained(spec, family)
                said[name] = logits(model)
                save_adapter(model, asked, folder / "adapters" / name)
            except pytest.skip.Exception:
                said[name] = None
            except Exception as error:  # told by the test of this method, and by no other
                said[name] = error
    script = Path(__file__).parent / "reload_adapters.py"
    subprocess.run([sys.executable, str(script), str(folder)], check=True)
    again = torch.load(folder / "logits.pt")
    suffixes = {file.suffix for file in (folder / "adapters").rglob("*") if file.is_file()}
    assert suffixes <= {".safetensors", ".json", ".md"}
    return {name: (one, again.get(name)) for name, one in said.items()}


pytestmark = [
    pytest.mark.parametrize("spec", METHODS.values(), ids=lambda spec: spec.name),
    pytest.mark.parametrize("family", CONFIGS),
]


@pytest.mark.usefixtures("_models_are_freed")
def test_every_sample_is_a_configuration_that_can_be_built(spec: MethodSpec, family: str) -> None:
    drawn = samples(spec, family, count=6)

    if not drawn:
        with pytest.raises(InvalidConfiguration, match="got"):
            check(at_defaults(spec), profile(family))
    for asked in drawn:
        check(asked, profile(family))
        assert trainable(add(spec, family, asked))


@pytest.mark.parametrize("target", ROLES)
def test_its_formula_counts_the_weights_that_torch_counts(
    spec: MethodSpec, family: str, target: TargetModules
) -> None:
    asked = configuration(spec, family, target)
    if not exists(asked, profile(family)):
        pytest.skip("these values do not go with this target")

    model = add(spec, family, asked)

    targets = targeted(profile(family), target) if spec.uses_target_modules else ()
    of_formula = spec.trainable(asked.method.values, targets, profile(family))
    assert of_formula == sum(weight.numel() for weight in trainable(model).values())


def test_it_starts_at_the_base_if_it_says_so(spec: MethodSpec, family: str) -> None:
    before = logits(base(family))

    after = logits(add(spec, family, configuration(spec, family)))

    is_same = torch.allclose(after, before, rtol=1e-3, atol=1e-4)
    assert is_same is spec.starts_at_base


def test_steps_move_the_trained_weights_and_no_others(spec: MethodSpec, family: str) -> None:
    asked = configuration(spec, family)
    model = add(spec, family, asked)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    to_train = set(trainable(model))

    losses = train(model, asked)

    moved = {
        name
        for name, weight in model.named_parameters()
        if not torch.equal(before[name], weight.detach())
    }
    assert all(np.isfinite(losses))
    assert moved == to_train


def test_it_trains_on_a_base_in_bf16(spec: MethodSpec, family: str) -> None:
    asked = configuration(spec, family).model_copy(update={"precision": "bf16"})
    model = add_adapter(base(family, dtype=torch.bfloat16), asked, SETTING)

    before = loss(model)

    losses = train(model, asked, steps=10)

    assert all(np.isfinite(losses))
    assert loss(model) < before  # and not those of training, in which some methods add noise


def test_a_fresh_process_that_loads_it_says_the_same(
    spec: MethodSpec, family: str, reloaded: dict[str, tuple[object, object]]
) -> None:
    said, again = reloaded[f"{family}--{spec.name}"]
    if said is None:
        pytest.skip("none of the method's values goes with this family")
    if isinstance(said, Exception):
        raise said

    assert isinstance(again, torch.Tensor), again
    assert isinstance(said, torch.Tensor)
    assert not torch.allclose(said, logits(base(family)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(again, said, **CLOSE)


def test_it_merges_to_the_same_output_or_says_why_not(spec: MethodSpec, family: str) -> None:
    model, asked = trained(spec, family)
    if not spec.merges:
        with pytest.raises(InvalidConfiguration) as refusal:
            merge(model, asked)
        assert spec.no_merge in str(refusal.value)
        return
    said = logits(model)

    merged = merge(model, asked) if isinstance(model, peft.PeftModel) else model

    assert {n for n, _ in merged.named_parameters()} >= {
        n for n, _ in base(family).named_parameters()
    }
    torch.testing.assert_close(logits(merged), said, **CLOSE)


def test_what_can_be_plain_lora_is_read_by_peft_alone(
    spec: MethodSpec, family: str, tmp_path: Path
) -> None:
    model, asked = trained(spec, family)
    if spec.no_lora:
        with pytest.raises(InvalidConfiguration) as refusal:
            check_serving(asked, "vllm")
        assert spec.no_lora in str(refusal.value)
        return
    said = logits(model)

    save_adapter(model, asked, tmp_path / "lora", serve_with="vllm")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = peft.PeftModel.from_pretrained(base(family), str(tmp_path / "lora"))
    assert loaded.peft_config["default"].peft_type == "LORA"
    torch.testing.assert_close(logits(loaded), said, **CLOSE)
