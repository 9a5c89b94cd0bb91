"""Propulsion against its formula and the counts that its authors print."""

import copy
from typing import Any

import pytest
import torch
from peft import get_peft_model
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from training_worker.tuners import PropulsionConfig

# RoBERTa-base's sizes
ROBERTA = {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1}
TABLES = ["word_embeddings", "position_embeddings", "token_type_embeddings"]
ATTENTION = ["query", "key", "value"]
LINEARS = [*ATTENTION, "attention.output.dense", "intermediate.dense", "output.dense"]
HEAD = ["classifier.dense", "classifier.out_proj"]


# PEFT asks transformers by a name that is on its way out
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")


@pytest.fixture(autouse=True)
def _same_random_numbers() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def scaled(linear: nn.Linear, *, degree: int, **values: Any) -> Any:
    config = PropulsionConfig(target_modules=["0"], degree=degree, **values)
    return get_peft_model(nn.Sequential(linear), config)


def z_of(model: Any) -> nn.Parameter:
    z: nn.Parameter = model.base_model.model[0].propulsion_z["default"]
    return z


def roberta(labels: int) -> Any:
    with torch.device("meta"):
        return RobertaForSequenceClassification(RobertaConfig(**ROBERTA, num_labels=labels))


@pytest.mark.parametrize(
    ("targets", "labels", "train_biases", "count"),
    [
        ([*TABLES, *LINEARS, *HEAD], 2, False, 86_018),
        ([*TABLES, *LINEARS, *HEAD], 1, True, 169_730),
        (ATTENTION, 2, False, 27_648),
    ],
    ids=["all", "all-with-biases-of-one-label", "attention"],
)
def test_roberta_base_trains_the_numbers_that_the_authors_print(
    targets: list[str], labels: int, train_biases: bool, count: int
) -> None:
    config = PropulsionConfig(target_modules=targets, train_biases=train_biases)

    model = get_peft_model(roberta(labels), config)

    assert sum(w.numel() for w in model.parameters() if w.requires_grad) == count


def test_two_to_the_third_multiplies_an_output_and_its_bias_by_eight() -> None:
    model, x = scaled(nn.Linear(6, 4), degree=3), torch.randn(5, 6)
    before = model(x).detach()
    at_zero = model(torch.zeros(1, 6)).detach()

    with torch.no_grad():
        z_of(model)[2] = 2

    factors = torch.tensor([1.0, 1.0, 8.0, 1.0])
    assert torch.equal(model(x), before * factors)
    assert torch.equal(model(torch.zeros(1, 6)), at_zero * factors)
    plain = model.merge_and_unload()
    torch.testing.assert_close(plain(x), before * factors)
    torch.testing.assert_close(plain[0].bias, at_zero[0] * factors)


def test_a_layer_without_bias_merges_and_stays_without() -> None:
    model, x = scaled(nn.Linear(6, 4, bias=False), degree=15), torch.randn(5, 6)
    nn.init.normal_(z_of(model), mean=1, std=0.1)
    said = model(x)

    plain = model.merge_and_unload()

    assert plain[0].bias is None
    torch.testing.assert_close(plain(x), said)


@pytest.mark.parametrize("degree", [1, 15, 55])
def test_at_the_start_the_gradient_is_the_degree_times_that_of_a_scale(degree: int) -> None:
    model, x, wanted = scaled(nn.Linear(6, 4), degree=degree), torch.randn(5, 6), torch.randn(5, 4)
    result = model(x)
    slopes = (2 * (result - wanted)).detach()

    (result - wanted).square().sum().backward()

    expected = degree * (result.detach() * slopes).sum(0)
    torch.testing.assert_close(z_of(model).grad, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("degree", "sign"), [(2, 1), (3, -1)])
def test_a_negative_scale_stays_finite(degree: int, sign: int) -> None:
    model, x = scaled(nn.Linear(6, 4), degree=degree), torch.randn(5, 6)
    before = model(x).detach()

    nn.init.constant_(z_of(model), -1)

    torch.testing.assert_close(model(x), sign * before)


@pytest.mark.parametrize("degree", [0, 56, 2.5, True])
def test_a_power_that_is_no_whole_number_from_1_to_55_is_refused(degree: Any) -> None:
    with pytest.raises(ValueError, match="degree"):
        PropulsionConfig(target_modules=["0"], degree=degree)


def test_trained_biases_are_scaled_too_and_merge() -> None:
    model, x = scaled(nn.Linear(6, 4), degree=2, train_biases=True), torch.randn(5, 6)
    layer = model.base_model.model[0]
    nn.init.normal_(layer.propulsion_bias["default"])
    nn.init.constant_(z_of(model), 3)
    own = layer.base_layer(x)

    torch.testing.assert_close(model(x), 9 * (own + layer.propulsion_bias["default"]))
    torch.testing.assert_close(copy.deepcopy(model).merge_and_unload()(x), model(x))


def test_a_scaled_table_leaves_the_head_that_is_tied_to_it() -> None:
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        tie_word_embeddings=True,
        pad_token_id=2,
    )
    model: Any = AutoModelForCausalLM.from_config(config).eval()
    ids_BL = torch.tensor([[3, 1, 4, 1, 5]])
    table = model.get_input_embeddings().weight.detach().clone()
    with pytest.warns(UserWarning, match="tie_word_embeddings"):
        scaled = get_peft_model(model, PropulsionConfig(target_modules=["embed_tokens"], degree=2))
    embedding = model.model.embed_tokens
    nn.init.normal_(embedding.propulsion_z["default"], mean=1, std=0.3)
    factors = embedding.propulsion_z["default"].detach() ** 2

    torch.testing.assert_close(embedding(ids_BL), table[ids_BL] * factors)
    assert torch.equal(model.lm_head.weight, table)
    said = scaled(input_ids=ids_BL).logits
    scaled.base_model.model.model.embed_tokens.merge()

    assert torch.equal(model.lm_head.weight, table)
    torch.testing.assert_close(scaled(input_ids=ids_BL).logits, said)
    embedding.unmerge()
    assert embedding.base_layer.weight is model.lm_head.weight
