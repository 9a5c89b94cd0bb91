"""Starts that look at data: held against numpy's own decompositions on a small Llama and GPT-2."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedConfig

from metadata.errors import InvalidConfiguration
from metadata.methods import METHODS
from metadata.parameters import defaults
from metadata.records import Configuration
from training_worker import starts
from training_worker.adapter import add_adapter, load_adapter, save_adapter, trainable
from training_worker.data import IGNORED, Batch
from training_worker.setting import Setting

VOCABULARY, RANK = 96, 4
CONFIGS: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    ),
    "gpt2": GPT2Config(
        vocab_size=VOCABULARY, n_embd=64, n_layer=2, n_head=4, resid_pdrop=0.5, attn_pdrop=0.5
    ),
}
LAYERS = {"llama": "model.layers.1.mlp.down_proj", "gpt2": "transformer.h.1.mlp.c_fc"}
MOVED = ("pissa", "olora", "corda", "lora_ga")
PAD = 5  # tokens of the first example that are padding


@pytest.fixture(autouse=True)
def _same_random_numbers() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def base(family: str, dtype: torch.dtype = torch.float32) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_config(CONFIGS[family], dtype=dtype)
        for name, weight in model.named_parameters():  # apart, as a trained model's values are
            if weight.dim() == 2 and "wte" not in name:
                weight.data.mul_(1 + 3 * torch.rand(weight.shape[1]))
    return model.requires_grad_(False).eval()


def seen() -> Setting:
    ids_BL = torch.randint(3, VOCABULARY, (4, 24))
    mask_BL, labels_BL = torch.ones_like(ids_BL), ids_BL.clone()
    mask_BL[0, -PAD:] = 0
    labels_BL[:, :8] = IGNORED  # prompts
    labels_BL[mask_BL == 0] = IGNORED
    targets = int((labels_BL != IGNORED).sum())
    return Setting(batches=(Batch(ids_BL, mask_BL, labels_BL, targets=targets, tokens=91),))


def asked(method: str, **values: object) -> Configuration:
    usual = defaults(METHODS[method].parameters) | {"r": RANK, "lora_alpha": 8}
    return Configuration.model_validate(
        {
            "method": {"name": method, **usual, **values},
            "optimizer": {"name": "adamw", "learning_rate": 1e-2},
        }
    )


def logits(model: Any, setting: Setting) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=setting.batches[0].input_ids_BL).logits


def inputs(model: Any, name: str, setting: Setting) -> torch.Tensor:
    """Return the inputs of one linear, shape (B, L, D)."""
    found = []
    handle = model.get_submodule(name).register_forward_hook(
        lambda module, inputs, output: found.append(inputs[0])
    )
    logits(model, setting)
    handle.remove()
    return found[0]


def factors(model: Any, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    layer = model.base_model.model.get_submodule(name)
    return layer.lora_A["default"].weight.detach(), layer.lora_B["default"].weight.detach()


def overlap(rows: torch.Tensor, directions: torch.Tensor) -> float:
    """Return the mean squared cosine between two spaces of orthonormal rows, 1 where the same."""
    basis = torch.linalg.qr(rows.T).Q
    return float((directions @ basis).square().sum() / len(directions))


@pytest.mark.parametrize("family", CONFIGS)
def test_eva_spans_the_main_directions_of_the_inputs_at_learnt_tokens(family: str) -> None:
    setting = seen()

    model = add_adapter(base(family), asked("eva"), setting)

    rows = inputs(base(family), LAYERS[family], setting)[setting.batches[0].labels_BL != IGNORED]
    main = torch.linalg.svd(rows - rows.mean(0), full_matrices=False).Vh[:RANK]
    a, b = factors(model, LAYERS[family])
    assert overlap(a, main) > 0.99
    torch.testing.assert_close(a @ a.T, torch.eye(RANK), rtol=0, atol=1e-4)
    assert not b.any()


def test_eva_has_whole_bases_where_there_are_fewer_tokens_than_ranks() -> None:
    ids_BL = torch.tensor([[7, 8, 9]])
    few = Batch(ids_BL, torch.ones_like(ids_BL), ids_BL, targets=3, tokens=3)

    model = add_adapter(base("llama"), asked("eva", r=16), Setting(batches=(few,)))

    a, _ = factors(model, LAYERS["llama"])
    torch.testing.assert_close(a @ a.T, torch.eye(16), rtol=0, atol=1e-4)


@pytest.mark.parametrize("family", CONFIGS)
def test_corda_takes_what_the_inputs_make_most_of(family: str) -> None:
    setting = seen()

    model = add_adapter(base(family), asked("corda"), setting)

    is_read = setting.batches[0].attention_mask_BL == 1
    rows = inputs(base(family), LAYERS[family], setting)[is_read]
    moment = rows.T @ rows / len(rows)
    moment += 0.01 * moment.diagonal().mean() * torch.eye(len(moment))
    weight = base(family).get_submodule(LAYERS[family]).weight
    weight = weight.T if family == "gpt2" else weight
    u, s, vh = torch.linalg.svd(weight @ moment, full_matrices=False)
    main = (u[:, :RANK] * s[:RANK]) @ vh[:RANK] @ torch.linalg.inv(moment)
    a, b = factors(model, LAYERS[family])
    torch.testing.assert_close(2 * b @ a, main, rtol=1e-3, atol=1e-4)  # alpha / r is 2


@pytest.mark.parametrize("family", CONFIGS)
def test_lora_ga_spans_the_main_directions_of_the_full_gradient(family: str) -> None:
    setting = seen()
    batch = setting.batches[0]

    model = add_adapter(base(family), asked("lora_ga"), setting)

    full = base(family)
    weight = full.get_submodule(LAYERS[family]).weight.requires_grad_(True)
    said = full(input_ids=batch.input_ids_BL, attention_mask=batch.attention_mask_BL).logits
    torch.nn.functional.cross_entropy(
        said[:, :-1].flatten(0, 1), batch.labels_BL[:, 1:].flatten(), ignore_index=IGNORED
    ).backward()
    gradient = weight.grad.T if family == "gpt2" else weight.grad
    u, _, vh = torch.linalg.svd(gradient, full_matrices=False)
    a, b = factors(model, LAYERS[family])
    assert overlap(a, vh[:RANK]) > 0.99
    assert overlap(b.T, u.T[RANK : 2 * RANK]) > 0.95
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("method", MOVED)
def test_a_start_that_moves_the_base_says_what_the_base_says(method: str, family: str) -> None:
    if method == "olora" and family == "gpt2":
        pytest.skip("PEFT's OLoRA does not know transposed weights, and the entry says so")
    setting = seen()

    model = add_adapter(base(family), asked(method), setting)

    torch.testing.assert_close(
        logits(model, setting), logits(base(family), setting), rtol=1e-4, atol=1e-4
    )
    moved = model.base_model.model.get_submodule(LAYERS[family]).get_base_layer().weight
    assert not torch.allclose(moved, base(family).get_submodule(LAYERS[family]).weight)


@pytest.mark.parametrize("method", [*MOVED, "kasa"])
def test_its_saved_adapter_says_on_the_base_as_it_was_what_the_trained_model_says(
    method: str, tmp_path: Path
) -> None:
    setting = seen()
    model = add_adapter(base("llama"), asked(method), setting)
    for weight in trainable(model).values():
        weight.data.add_(0.02 * torch.randn_like(weight))

    save_adapter(model, asked(method), tmp_path / "adapter")

    loaded = load_adapter(base("llama"), tmp_path / "adapter")
    assert loaded.peft_config["default"].r == 2 * RANK
    torch.testing.assert_close(
        logits(loaded, setting), logits(model, setting), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("method", ["eva", "corda", "lora_ga"])
def test_a_start_from_data_refuses_to_go_without(method: str) -> None:
    with pytest.raises(InvalidConfiguration, match="starts from examples"):
        add_adapter(base("llama"), asked(method), Setting())


@pytest.mark.parametrize("method", ["eva", "corda", "lora_ga"])
def test_a_start_from_data_leaves_the_models_mode_and_grads_as_they_were(method: str) -> None:
    model = base("llama").train()

    adapted = add_adapter(model, asked(method), seen())

    assert adapted.training
    assert set(trainable(adapted)) == {
        name for name, _ in adapted.named_parameters() if "lora_" in name
    }


def test_layers_are_looked_at_in_groups_that_fit_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setting = seen()
    whole = factors(add_adapter(base("llama"), asked("corda"), setting), LAYERS["llama"])

    monkeypatch.setattr(starts, "COVARIANCE_BYTES", 3 * 4 * 64**2)
    grouped = factors(add_adapter(base("llama"), asked("corda"), setting), LAYERS["llama"])

    torch.testing.assert_close(grouped[1] @ grouped[0], whole[1] @ whole[0])
