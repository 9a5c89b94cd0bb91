"""The search of a model's layers by populations, on tiny models of each layout of q and k."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    Phi3Config,
)

from metadata.optimizers import OPTIMIZERS
from metadata.parameters import defaults
from training_worker.adapter import add_adapter, trainable
from training_worker.data import encode_splits
from training_worker.derivative_free.judging import judge_candidates, nats_of
from training_worker.derivative_free.layers import Layer, searched_layers
from training_worker.derivative_free.population import PopulationSteps, plan_calls
from training_worker.derivative_free.projections import Projection, hidden_scales
from training_worker.loop import Learner, rehearse
from training_worker.scoring import target_logits
from training_worker.trainers import TRAINERS

SIZES = {"vocab_size": 258, "num_hidden_layers": 3, "num_attention_heads": 4, "hidden_size": 32}
CONFIGS = {
    "llama": LlamaConfig(**SIZES, intermediate_size=48, num_key_value_heads=2),
    "gpt2": GPT2Config(vocab_size=258, n_embd=32, n_layer=3, n_head=4, n_positions=128),
    "gpt_neox": GPTNeoXConfig(**SIZES, intermediate_size=48, max_position_embeddings=128),
    "phi3": Phi3Config(**SIZES, intermediate_size=48, num_key_value_heads=2, pad_token_id=1),
}
FAMILIES = list(CONFIGS)
POPULATION = 6


@pytest.fixture
def asked(make_request):
    """Return a function that makes a request; 24 examples are judged on by each candidate."""

    def make(optimizer: str = "cma", *, calls: int = 100, **changes):
        values = defaults(OPTIMIZERS[optimizer].parameters) | {
            "name": optimizer,
            "population": POPULATION,
            "intrinsic_dimension": 42,
            "sigma": 1.0,
        }
        method = {"name": "lora", "r": 4, "lora_alpha": 8, "lora_dropout": 0.1}
        return make_request(
            optimizer=values,
            method=method,
            target_modules="qk",
            batch_size=24,
            epochs=calls,
            **changes,
        )

    return make


@pytest.fixture
def learner_of(asked) -> Callable[[str], Learner]:
    def make(family: str) -> Learner:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = AutoModelForCausalLM.from_config(CONFIGS[family]).requires_grad_(False)
            model = add_adapter(model, asked().configuration).eval()
        return Learner(model, trainable(model), "completion", padding_id=1)

    return make


@pytest.fixture
def examples(asked, tokenizer):
    return encode_splits(asked(), tokenizer, max_length_tokens=64).train


def searched(learner, request, examples, *, calls: int, rows: int = 8) -> list[float]:
    plan = plan_calls(examples, request.configuration, micro_batch_size=rows)
    steps = PopulationSteps(learner, request.configuration, steps=len(plan), rows=rows)
    return [steps.take(plan[i], number=i + 1)[0] for i in range(calls)]


def random_factors(layer: Layer, *, count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    projection = Projection(layer, 40, scale=1.0, seed=1)
    generator = torch.Generator().manual_seed(2)
    return projection.factors(torch.randn(count, 40, generator=generator))


@pytest.mark.parametrize("family", FAMILIES)
def test_several_candidates_at_once_are_judged_as_one_by_one(family, learner_of, examples) -> None:
    learner = learner_of(family)
    layers = searched_layers(learner.model)
    batches = [learner.collate(examples[:5]), learner.collate(examples[5:12])]
    layers[0].write([(a[0], b[0]) for a, b in random_factors(layers[0], count=1)])

    for layer in layers[1:]:
        factors = random_factors(layer, count=POPULATION)
        with torch.no_grad():
            layer.clear()
            together = judge_candidates(learner, layer, factors, batches, rows=20)
            alone = []
            for one in range(POPULATION):
                layer.write([(a[one], b[one]) for a, b in factors])
                alone.append(sum(nats_of(learner, batch) for batch in batches))
            layer.clear()

        assert max(alone) - min(alone) > 1e-2
        torch.testing.assert_close(together, torch.tensor(alone).double(), rtol=1e-5, atol=0)


@pytest.mark.parametrize(("family", "values"), [("gpt2", 32), ("gpt_neox", 32), ("phi3", 16)])
def test_one_map_for_all_three_changes_in_queries_and_keys_only(family, values, learner_of) -> None:
    layer = searched_layers(learner_of(family).model)[1]
    factors = random_factors(layer, count=1)

    layer.write([(a[0], b[0]) for a, b in factors])

    update = layer.parts[0].module.get_delta_weight("default").detach()
    update = update.T if family == "gpt2" else update
    others = torch.ones(len(update), dtype=torch.bool)
    for (a_1RI, b_1OR), part in zip(factors, layer.parts, strict=True):
        torch.testing.assert_close(update[part.rows_O], b_1OR[0] @ a_1RI[0])
        others[part.rows_O] = False
    assert int(others.sum()) == values
    assert float(update[others].abs().max()) == 0.0


def test_the_adapters_own_scale_changes_nothing(learner_of) -> None:
    layer = searched_layers(learner_of("llama").model)[1]
    factors = random_factors(layer, count=1)

    layer.write([(a[0], b[0]) for a, b in factors])

    for (a_1RI, b_1OR), part in zip(factors, layer.parts, strict=True):
        assert part.module.scaling["default"] == 2.0
        update = part.module.get_delta_weight("default").detach()
        torch.testing.assert_close(update, b_1OR[0] @ a_1RI[0])


def test_gpt_neox_has_queries_keys_and_values_head_by_head(learner_of) -> None:
    learner = learner_of("gpt_neox")
    query, key = searched_layers(learner.model)[0].parts

    assert query.rows_O[:8].tolist() == list(range(8))
    assert key.rows_O[:8].tolist() == list(range(8, 16))
    assert query.rows_O[8:10].tolist() == [24, 25]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_vector_0_changes_nothing(family, learner_of, examples) -> None:
    learner = learner_of(family)
    batch = learner.collate(examples[:4])
    with torch.no_grad(), learner.model.disable_adapter():
        base, _, _ = target_logits(learner.model, batch)

    with torch.no_grad():
        for layer in searched_layers(learner.model):
            factors = Projection(layer, 42, scale=1.0, seed=0).factors(torch.zeros(1, 42))
            layer.write([(a[0], b[0]) for a, b in factors])
        now, _, _ = target_logits(learner.model, batch)

    assert torch.equal(now, base)


def test_maps_spread_as_the_formula_says(learner_of, examples) -> None:
    learner = learner_of("llama")
    layers = searched_layers(learner.model)
    embedding = learner.model.get_input_embeddings().weight
    scales = hidden_scales(learner.model, layers, learner.collate(examples))

    projection = Projection(layers[0], 500, scale=scales[0], seed=0)

    assert [one.shape[1] for one in projection.maps] == [125] * 4
    of_a, of_b = float(embedding.detach().std()) / 500**0.5, 1 / (3 * 125) ** 0.5
    for one, wanted in zip(projection.maps, [of_a, of_b, of_a, of_b], strict=True):
        assert abs(float(one.std()) / wanted - 1) < 0.02
        assert abs(float(one.mean())) < 0.02 * wanted


def test_later_maps_are_scaled_by_the_hidden_states_without_outliers(learner_of, examples) -> None:
    learner = learner_of("llama")
    batch = learner.collate(examples)
    with torch.no_grad():
        hidden = learner.model(
            input_ids=batch.input_ids_BL,
            attention_mask=batch.attention_mask_BL,
            output_hidden_states=True,
        ).hidden_states[1][batch.attention_mask_BL.bool()]
    for _ in range(5):
        reach = 3 * hidden.std()
        hidden = torch.minimum(torch.maximum(hidden, hidden.mean() - reach), hidden.mean() + reach)

    scales = hidden_scales(learner.model, searched_layers(learner.model), batch)

    assert len(scales) == 3
    assert abs(scales[1] / float(hidden.std()) - 1) < 1e-4


@pytest.mark.parametrize("optimizer", ["cma", "fireworks"])
@pytest.mark.parametrize("calls", [1, 7, 60])
def test_the_model_is_called_as_often_as_there_are_steps(
    optimizer, calls, learner_of, examples, asked
) -> None:
    learner, judged = learner_of("llama"), []
    head = learner.model.get_output_embeddings()
    head.register_forward_hook(lambda module, inputs, logits: judged.append(len(logits)))
    learner.model.eval()

    searched(learner, asked(optimizer, calls=calls), examples, calls=calls, rows=24)

    statistics = 24 if calls > 1 else 0  # one pass, for the scale of the maps, judges nothing
    assert sum(judged) - statistics == 24 * calls


@pytest.mark.parametrize("optimizer", ["cma", "fireworks"])
def test_the_best_loss_never_rises_and_is_the_models_own(
    optimizer, learner_of, examples, asked
) -> None:
    learner = learner_of("llama")
    request = asked(optimizer, calls=200)

    losses = searched(learner, request, examples, calls=200)

    assert all(later <= earlier for earlier, later in pairwise(losses))
    assert losses[-1] < losses[0]
    batch = learner.collate(examples)
    assert abs(nats_of(learner, batch) / losses[-1] - 1) < 1e-5
    assert all(weight.grad is None for weight in learner.model.parameters())
    assert not learner.model.training


@pytest.mark.parametrize("optimizer", ["cma", "fireworks"])
def test_a_seed_gives_the_same_weights(optimizer, learner_of, examples, asked) -> None:
    found = []
    for seed in (3, 3, 4):
        learner = learner_of("llama")
        searched(learner, asked(optimizer, seed=seed), examples, calls=60)
        found.append(torch.cat([weight.detach().flatten() for weight in learner.weights.values()]))

    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_a_smaller_batch_is_drawn_once_by_the_seed(examples, asked) -> None:
    small, other = (
        asked(seed=seed).configuration.model_copy(update={"batch_size": 5, "epochs": 2.0})
        for seed in (0, 1)
    )

    plan = plan_calls(examples, small, micro_batch_size=3)

    assert len(plan) == 10  # 24 examples twice, five at a time
    assert all(step == plan[0] for step in plan)
    assert sum(len(micro) for micro in plan[0]) == 5
    assert plan_calls(examples, other, micro_batch_size=3)[0] != plan[0]


def test_an_early_end_of_the_budget_leaves_the_best_in_the_model(
    learner_of, examples, asked
) -> None:
    learner = learner_of("gpt2")

    losses = searched(learner, asked(calls=17), examples, calls=17)

    assert abs(nats_of(learner, learner.collate(examples)) / losses[-1] - 1) < 1e-5


def test_a_search_of_one_call_can_be_rehearsed(learner_of, examples, asked) -> None:
    learner, configuration = learner_of("llama"), asked(calls=1).configuration
    before = [weight.detach().clone() for weight in learner.weights.values()]
    plan = plan_calls(examples, configuration, micro_batch_size=8)

    peak = rehearse(learner, plan, configuration, trainer=TRAINERS["population"], rows=8)

    assert peak > sum(weight.nbytes for weight in learner.model.parameters())
    assert all(map(torch.equal, learner.weights.values(), before))
