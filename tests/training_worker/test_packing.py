"""Packed rows give the loss and the gradients of padded ones, in every family that packs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig

from metadata.architectures import FAMILIES, packs
from metadata.checks import check
from metadata.errors import InvalidConfiguration
from metadata.features.model import profile_model
from metadata.messages import Limits
from metadata.methods import METHODS
from metadata.space import sample
from training_worker.adapter import add_adapter, trainable
from training_worker.data import Tokens, encode_splits
from training_worker.ledger import Ledger
from training_worker.loop import Learner, fit_memory, plan_steps
from training_worker.packing import pack
from training_worker.run import run
from training_worker.setting import look

VOCABULARY, LENGTH = 64, 24
IDS = {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
}
GROUPED = SIZES | {"num_key_value_heads": 2}
# Shorter than the examples: a window that reached into the example before would show.
WINDOW = {"sliding_window": 4}
NO_DROPOUT = {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0}
OWN_SIZES: dict[str, dict[str, object]] = {
    "mistral": GROUPED | WINDOW,
    "qwen3": GROUPED | {"head_dim": 8},
    "gemma": GROUPED | {"head_dim": 8},
    "gemma2": GROUPED | WINDOW | {"head_dim": 8},
    "gemma3_text": GROUPED
    | WINDOW
    | {"head_dim": 8, "layer_types": ["sliding_attention", "full_attention"]},
    "phi3": GROUPED | WINDOW,
    "gpt2": NO_DROPOUT | {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128},
    "gpt_neox": SIZES,
    "opt": SIZES | {"ffn_dim": 48, "word_embed_proj_dim": 32, "dropout": 0.0},
}


def tiny_config(family: str) -> PreTrainedConfig:
    return AutoConfig.for_model(family, **IDS, **OWN_SIZES.get(family, GROUPED))


def examples() -> list[Tokens]:
    rng = torch.Generator().manual_seed(0)
    return [
        Tokens(
            tuple(torch.randint(2, VOCABULARY, (length,), generator=rng).tolist()),
            (False,) * (length // 2) + (True,) * (length - length // 2),
        )
        for length in (5, 9, 3, 12, 7, 1, 14)
    ]


def loss_and_gradients(
    learner: Learner, rows: list[Tokens]
) -> tuple[float, int, dict[str, torch.Tensor]]:
    batch = learner.collate(rows)
    nats = learner.backward(batch, targets=batch.targets)
    gradients = {name: weight.grad.clone() for name, weight in learner.weights.items()}
    learner.model.zero_grad()
    return nats, batch.targets, gradients


def apart(family: str, attention: str, loss_on: str) -> tuple[float, float]:
    """Return how far packed and padded are apart: of the loss, and of the gradients' largest."""
    torch.manual_seed(0)
    config = tiny_config(family)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).train()
    return compare(Learner(model, dict(model.named_parameters()), loss_on, 1))


def compare(learner: Learner) -> tuple[float, float]:
    nats, targets, gradients = loss_and_gradients(learner, examples())
    packed = pack(examples(), length=LENGTH)
    assert len(packed) < len(examples())
    packed_nats, packed_targets, packed_gradients = loss_and_gradients(learner, packed)

    assert packed_targets == targets
    largest = max(float(gradient.abs().max()) for gradient in gradients.values())
    farthest = max(float((packed_gradients[n] - g).abs().max()) for n, g in gradients.items())
    return abs(packed_nats / nats - 1), farthest / largest


@pytest.mark.parametrize("loss_on", ["completion", "all"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", [family for family in FAMILIES if packs(family)])
def test_packed_and_padded_give_the_same_loss_and_gradients(family, attention, loss_on) -> None:
    if (family, attention) == ("gemma2", "sdpa"):
        pytest.skip("transformers has no sdpa for gemma2, whose scores are capped")

    of_loss, of_gradients = apart(family, attention, loss_on)

    assert of_loss < 1e-6
    assert of_gradients < 2e-6


@pytest.mark.parametrize("method", [m for m in METHODS.values() if m.packs], ids=lambda m: m.name)
def test_every_method_gives_the_same_packed_and_padded(method) -> None:
    config = AutoConfig.for_model("llama", **IDS, **GROUPED | {"hidden_size": 64, "head_dim": 16})
    profile = profile_model(config.to_dict(), id="tiny")
    (configuration,) = sample(
        profile, count=1, rng=np.random.default_rng(0), methods=[method.name], optimizers=["adamw"]
    )
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(config).requires_grad_(False)
    setting = look(examples(), configuration, padding_id=1, device=base.device)
    model = add_adapter(base, configuration, setting).eval()  # no dropout: outputs are compared
    weights = trainable(model)
    with torch.no_grad():
        for weight in weights.values():  # away from a start where many gradients are 0
            weight.add_(0.02 * torch.randn_like(weight))
    learner = Learner(model, weights, "completion", 1)

    of_loss, of_gradients = compare(learner)

    assert of_loss < 1e-6
    assert of_gradients < 2e-5  # some rebuild weights, or rotate by a product of many


def test_a_family_that_does_not_pack_would_be_wrong() -> None:
    assert not packs("opt")
    assert max(apart("opt", "sdpa", "all")) > 1e-3


def test_rows_hold_every_example_whole_and_no_more_than_their_length() -> None:
    rows = pack(examples(), length=LENGTH)

    parts = [part for row in rows for part in row.parts]
    assert sorted(parts) == sorted(len(one.ids) for one in examples())
    assert all(len(row.ids) == sum(row.parts) <= LENGTH for row in rows)
    assert len(rows) == 3  # 51 tokens in rows of 24


def test_the_first_token_of_each_example_in_a_row_is_not_learnt() -> None:
    row = Tokens((5, 6, 7, 8, 9), (True,) * 5, parts=(2, 3))

    assert row.labels("all") == [-100, 6, -100, 8, 9]
    assert row.positions == [0, 1, 0, 1, 2]


def test_a_packed_step_has_the_examples_of_the_padded_one(make_request, tokenizer) -> None:
    request = make_request(batch_size=8)
    train = encode_splits(request, tokenizer, max_length_tokens=64).train
    padded = plan_steps(train, request.configuration, micro_batch_size=8)

    packing = request.configuration.model_copy(update={"packing": True})
    packed = plan_steps(train, packing, micro_batch_size=2)

    for one, other in zip(padded, packed, strict=True):
        (examples_of_step,) = one
        rows = [row for micro in other for row in micro]
        assert sum(len(row.parts) for row in rows) == len(examples_of_step)
        assert sorted(t for row in rows for t in row.ids) == sorted(
            token for example in examples_of_step for token in example.ids
        )
        assert max(len(micro) for micro in other) <= 2


def test_a_packed_run_is_the_padded_one_but_for_rounding(make_request) -> None:
    padded, packed = (
        run(make_request(packing=packing, batch_size=8, epochs=3)) for packing in (False, True)
    )

    assert packed.state == "succeeded", packed.reason
    assert packed.costs.trained_tokens == padded.costs.trained_tokens
    assert packed.scores.last_loss == pytest.approx(padded.scores.last_loss, rel=1e-3)
    assert packed.scores.base_loss != packed.scores.last_loss


def test_packed_rows_are_halved_until_they_fit(make_request, tiny_llama, tokenizer) -> None:
    roomy = make_request("full", batch_size=16, epochs=1, packing=True)
    train = encode_splits(roomy, tokenizer, max_length_tokens=64).train
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    learner = Learner(model, dict(model.named_parameters()), "completion", 1)
    ledger = Ledger(report=lambda measurement, progress: None)
    fit_memory(learner, train, roomy, ledger, micro_batch_size=4)
    limits = Limits(memory_bytes=ledger.peak_tensor_bytes - 1)

    plan = fit_memory(learner, train, replace(roomy, limits=limits), ledger, micro_batch_size=4)

    assert ledger.micro_batch_size == max(len(micro) for step in plan for micro in step) < 4
    assert ledger.peak_tensor_bytes < limits.memory_bytes + 1


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"attention": "flash_attention_2"}, "kept apart by sdpa and eager"),
        ({}, "family opt"),
    ],
)
def test_what_cannot_be_packed_exactly_is_refused(changes, rule, make_request) -> None:
    configuration = make_request(packing=True, **changes).configuration
    opt = profile_model(tiny_config("opt").to_dict(), id="tiny-opt")

    with pytest.raises(InvalidConfiguration, match=rule):
        check(configuration, opt)


@pytest.mark.parametrize(
    "method", [m for m in METHODS.values() if not m.packs], ids=lambda m: m.name
)
def test_methods_with_tokens_of_their_own_are_not_packed(method, make_request) -> None:
    configuration = make_request(method.name, packing=True).configuration

    with pytest.raises(InvalidConfiguration, match="puts tokens before"):
        check(configuration)


def test_the_worker_refuses_to_pack_a_family_it_cannot(make_request, tokenizer, tmp_path) -> None:
    folder = tmp_path / "tiny-opt"
    AutoModelForCausalLM.from_config(tiny_config("opt")).save_pretrained(folder)
    tokenizer.save_pretrained(folder)

    result = run(make_request(base_model=str(folder), packing=True))

    assert result.state == "failed"
    assert "family opt" in result.reason
