from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from metadata.errors import (
    InvalidDataset,
    InvalidRequest,
    NotFound,
    UnknownDevice,
    UnknownModel,
)
from metadata.features.model import find_model
from metadata.knowledge import SHIPPED_KNOWLEDGE, Knowledge, fit_knowledge
from metadata.priors import rate_ratio
from metadata.records import OptimizerChoice, Run
from metadata.relative import relative_key
from metadata.space import suited
from service.recommender.aim import aim_at
from service.recommender.answer import answer
from service.recommender.candidates import propose
from service.recommender.question import build_question
from service.recommender.schemas import RecommendationRequest
from service.recommender.summary import summarise
from tests.service.recommender.conftest import KNOWN, Ask

TRIED = {"portfolio", "past_winner"}


def test_same_question_and_knowledge_give_the_same_answer_bit_for_bit(
    knowledge: Knowledge, request_: RecommendationRequest, now: Any
) -> None:
    first = answer(request_, knowledge, now=now)
    later = answer(request_, knowledge, now=now + timedelta(days=1))

    assert first.model_dump(exclude={"created_at"}) == later.model_dump(exclude={"created_at"})
    assert first.id.startswith("rec-")


def test_another_count_is_another_question_with_another_id(ask: Ask) -> None:
    assert ask(count=2).id != ask(count=3).id


@pytest.mark.parametrize("count", [1, 7, 50])
def test_answer_has_as_many_different_configurations_as_asked(ask: Ask, count: int) -> None:
    given = ask(count=count)

    keys = {option.configuration.key for option in given.configurations}
    assert len(keys) == len(given.configurations) == count
    assert [option.rank for option in given.configurations] == list(range(1, count + 1))


def test_a_short_list_holds_no_two_of_a_kind_with_all_sizes_alike(ask: Ask) -> None:
    chosen = [option.configuration for option in ask(count=5).configurations]

    for row, one in enumerate(chosen):
        for other in chosen[:row]:
            same_kind = (one.method.name, one.target_modules, one.optimizer.name) == (
                *(other.method.name, other.target_modules, other.optimizer.name),
            )
            times = [
                (one.optimizer.learning_rate or 1) / (other.optimizer.learning_rate or 1),
                one.batch_size / other.batch_size,
                one.epochs / other.epochs,
                (one.method.values.get("r") or 1) / (other.method.values.get("r") or 1),
            ]
            assert not (same_kind and all(1 / 2 < ratio < 2 for ratio in times))


def test_first_configuration_has_learnt_the_rate_of_past_runs(
    ask: Ask, near: dict[str, Any]
) -> None:
    given = ask(**near)
    best = given.configurations[0]

    assert 2 < rate_ratio(best.configuration, find_model(KNOWN)) < 8
    assert best.quality.expected_regret < given.default.quality.expected_regret


def test_far_from_all_past_runs_the_rate_is_the_published_one(ask: Ask) -> None:
    huge = "Qwen/Qwen2.5-14B"  # more than a hundred times what past runs are of
    given, closer = ask(base_model={"id": huge}, hardware={"device": "NVIDIA H200"}), ask()

    first = given.configurations[0].configuration
    assert 0.5 < rate_ratio(first, find_model(huge)) < 2
    assert 1 >= given.evidence.published_share > closer.evidence.published_share > 0
    assert "sources published" in given.evidence.advice


def test_candidates_come_from_every_source_with_the_default_first(
    knowledge: Knowledge, request_: RecommendationRequest
) -> None:
    question = build_question(request_)

    candidates = propose(question, knowledge, aim_at(question, knowledge), rng=rng()).candidates

    proposed = {one.configuration.key for one in candidates}
    winners = knowledge.past_winners(question.task, count=32)
    sources = [candidate.source for candidate in candidates]
    assert {suited(one, question.task).key for one in winners} <= proposed
    assert sources[0] == "default"
    assert {"default", "rule", "portfolio", "neighbour", "sample"} <= {*sources}
    assert 100 <= len(candidates) <= 300


def test_what_several_bases_taught_is_proposed_once(request_json: dict[str, Any]) -> None:
    shipped = Knowledge.load(SHIPPED_KNOWLEDGE)
    for base in ("peftwise-tiny", "Qwen/Qwen2.5-0.5B"):
        asked = {**request_json, "base_model": {"id": base}}
        question = build_question(RecommendationRequest.model_validate(asked))
        candidates = propose(question, shipped, aim_at(question, shipped), rng=rng()).candidates
        known = [one.configuration for one in candidates if one.source in TRIED]

        assert len({relative_key(one, question.task.model) for one in known}) == len(known) > 30


def test_candidates_take_length_and_precision_from_data_and_device(
    knowledge: Knowledge, request_json: dict[str, Any]
) -> None:
    on_cpu = {**request_json, "hardware": {"device": "cpu"}}
    for changed, precision in ((request_json, "bf16"), (on_cpu, "fp32")):
        question = build_question(RecommendationRequest.model_validate(changed))
        candidates = propose(question, knowledge, aim_at(question, knowledge), rng=rng()).candidates
        configurations = [candidate.configuration for candidate in candidates]

        assert {one.precision for one in configurations} == {precision}
        (length,) = {one.max_length_tokens for one in configurations}
        assert 320 / 4.5 < length < 320  # the longest 1 % take 320 bytes and more


def test_an_optimizer_of_nvidia_gpus_is_proposed_for_them_alone(
    knowledge: Knowledge, request_json: dict[str, Any]
) -> None:
    first = knowledge.portfolio[0]
    optimizer = OptimizerChoice(name="adamw_8bit", learning_rate=2e-4)
    winner = first.configuration.model_copy(update={"optimizer": optimizer})
    known = replace(knowledge, portfolio=(replace(first, configuration=winner),))

    def optimizers_on(device: str) -> set[str]:
        asked = {**request_json, "hardware": {"device": device}}
        question = build_question(RecommendationRequest.model_validate(asked))
        candidates = propose(question, known, aim_at(question, known), rng=rng()).candidates
        return {one.configuration.optimizer.name for one in candidates}

    assert "adamw_8bit" in optimizers_on("NVIDIA L40S")
    assert "adamw_8bit" not in optimizers_on("cpu")


def test_only_methods_asked_for_are_recommended(ask: Ask) -> None:
    given = ask(methods=["ia3", "bitfit"], count=10)

    assert {o.configuration.method.name for o in given.configurations} <= {"ia3", "bitfit"}
    assert given.default.configuration.method.name == "lora"


def test_cheapest_is_no_dearer_than_balanced_and_that_no_dearer_than_quality(ask: Ask) -> None:
    cheapest, balanced, quality = (
        ask(objective=objective, count=1).configurations[0]
        for objective in ("cheapest", "balanced", "quality")
    )

    assert cheapest.train_seconds.expected <= balanced.train_seconds.expected
    assert balanced.train_seconds.expected <= quality.train_seconds.expected
    assert cheapest.quality.expected_regret <= quality.quality.expected_regret + 0.1


def test_the_cheapest_gives_away_no_more_regret_than_it_may(ask: Ask) -> None:
    for within in (0.0, 0.02, 0.5):
        given = ask(objective="cheapest", cheapest_within=within, count=50).configurations
        regrets = [option.quality.expected_regret for option in given]
        assert regrets[0] <= min(regrets) + within + 1e-9


def test_what_the_margin_leaves_out_is_counted_and_let_in_by_a_larger_one(ask: Ask) -> None:
    def left(**changes: Any) -> tuple[int, list[Any]]:
        given = ask(objective="cheapest", count=50, **changes)
        said = [one for one in given.excluded if "of the least, for the cheapest" in one.rule]
        return len(given.configurations), said

    few, (usual,) = left()
    more, (wide,) = left(cheapest_within=0.2)

    assert few < more <= few + usual.count
    assert usual.rule.startswith("regret within 0.1 ")
    assert wide.count < usual.count
    assert "Raise cheapest_within" in usual.next_step
    assert left(cheapest_within=2.0) == (50, [])
    assert not any("cheapest" in one.rule for one in ask().excluded)


def test_margin_of_the_cheapest_makes_another_question_only_where_it_counts(ask: Ask) -> None:
    assert ask(cheapest_within=0.3).id == ask().id
    cheapest = [ask(objective="cheapest", cheapest_within=one).id for one in (0.1, 0.3)]
    assert ask(objective="cheapest").id == cheapest[0] != cheapest[1]


def test_what_is_forgotten_is_told_and_can_be_made_to_count(ask: Ask) -> None:
    careless, careful = (
        ask(forgetting_weight=weight, count=1).configurations[0].forgotten_nats
        for weight in (0.0, 50.0)
    )

    assert careless is not None
    assert careful is not None
    assert careful.expected < careless.expected
    assert careful.low <= careful.expected <= careful.high


def test_forgetting_lifts_nothing_that_is_expected_to_learn_little(ask: Ask) -> None:
    (first,) = ask(forgetting_weight=100.0, count=1).configurations

    assert first.quality.expected_regret < 1.0


def test_where_no_run_reports_what_was_forgotten_the_answer_says_so(
    runs: list[Run], request_json: dict[str, Any], now: Any
) -> None:
    silent = [
        run.model_copy(update={"scores": run.scores.model_copy(update={"forgotten": None})})
        for run in runs
        if run.scores is not None
    ]
    request = RecommendationRequest.model_validate({**request_json, "forgetting_weight": 1.0})

    given = answer(request, fit_knowledge(silent), now=now)

    assert given.configurations[0].forgotten_nats is None
    assert "forgetting_weight changes nothing" in given.evidence.advice


def test_pareto_options_are_beaten_by_no_other_option_in_all_three(ask: Ask) -> None:
    options = ask(count=50).configurations

    def costs(option: Any) -> tuple[float, float, float]:
        return (
            option.quality.expected_regret,
            option.train_seconds.expected,
            option.peak_memory_bytes.expected,
        )

    for option in (o for o in options if o.pareto):
        for other in options:
            no_worse = all(a <= b for a, b in zip(costs(other), costs(option), strict=True))
            assert not (no_worse and costs(other) != costs(option))
    assert any(option.pareto for option in options)


def test_cost_follows_from_price_count_and_seconds(ask: Ask) -> None:
    given = ask(hardware={"device": "NVIDIA L40S", "count": 2, "usd_per_hour": 1.5})

    best = given.configurations[0]
    assert best.cost_usd == pytest.approx(best.train_seconds.expected / 3600 * 1.5 * 2)


def test_reasons_name_a_source_near_runs_and_effects(
    ask: Ask, near: dict[str, Any], runs: list[Any]
) -> None:
    whys = [option.why for option in ask(**near).configurations]

    known = {run.id: run for run in runs}
    assert all(len(why.nearest_runs) == 3 for why in whys)
    for near in (near for why in whys for near in why.nearest_runs):
        assert near.score == known[near.run_id].score
    assert "learning_rate" in {effect.choice for why in whys for effect in why.effects}


def test_a_far_question_is_told_so_and_gets_wider_intervals(ask: Ask, near: dict[str, Any]) -> None:
    close, far = ask(**near), ask(dataset=near["dataset"])

    assert not far.evidence.in_distribution
    assert close.evidence.in_distribution
    assert far.evidence.distance > close.evidence.distance
    assert "20 times smaller" in far.evidence.advice
    widths = [
        np.mean([option.quality.high - option.quality.low for option in one.configurations])
        for one in (far, close)
    ]
    assert widths[0] >= widths[1]


def test_examples_and_their_profile_give_the_same_configurations(ask: Ask) -> None:
    examples = [
        {"prompt": f"What is {n} plus {n}?", "completion": f"It is {2 * n}."} for n in range(40)
    ]
    given = ask(dataset={"examples": examples})

    assert given.configurations[0].configuration.max_length_tokens < 100


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"base_model": {"id": "meta-llama/Llama-3.2-3"}}, UnknownModel, "Llama-3.2-3B"),
        ({"base_model": {"id": "../../etc/passwd"}}, InvalidRequest, "never a path"),
        ({"base_model": {"id": "/root", "config": {}}}, InvalidRequest, "never a path"),
        ({"base_model": {"id": "mine", "config": {}}}, InvalidRequest, "model_type|hidden|layers"),
        ({"hardware": {"device": "NVIDIA L41S"}}, UnknownDevice, "L40S"),
        ({"methods": ["lora", "qlora"]}, InvalidRequest, "lora, rslora"),
        ({"budget": {"usd": 3}}, InvalidRequest, "usd_per_hour"),
        ({"dataset": {"examples": []}}, InvalidDataset, "at least one"),
        ({"dataset": {"file_id": "file-1"}}, NotFound, "file-1"),
    ],
)
def test_what_cannot_be_answered_says_rule_value_and_next_step(
    ask: Ask, changes: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        ask(**changes)


def test_a_bad_example_is_named_by_its_position(ask: Ask) -> None:
    good = {"prompt": "a", "completion": "b"}

    with pytest.raises(InvalidDataset) as caught:
        ask(dataset={"examples": [good] * 56 + [{"prompt": 3}]})

    assert caught.value.line == 57


def test_a_model_of_ones_own_is_described_by_its_config(ask: Ask) -> None:
    config = {
        "model_type": "llama",
        "num_hidden_layers": 16,
        "hidden_size": 2048,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 8192,
        "vocab_size": 128256,
        "max_position_embeddings": 131072,
        "tie_word_embeddings": True,
    }
    own = ask(base_model={"id": "my-model", "config": config})
    public = ask(base_model={"id": "meta-llama/Llama-3.2-1B"})

    expected = public.default.peak_memory_bytes.expected
    assert own.default.peak_memory_bytes.expected == pytest.approx(expected, rel=0.05)


def test_a_family_whose_layers_are_not_known_is_marked(
    knowledge: Knowledge, runs: list[Run]
) -> None:
    task = runs[0].task
    model = task.model.model_copy(update={"family": "brandnew"})

    marked = summarise(knowledge, task.model_copy(update={"model": model})).advice

    assert "of the family brandnew are not known" in marked
    assert "are not known" not in summarise(knowledge, task).advice


def rng() -> np.random.Generator:
    return np.random.default_rng(0)
