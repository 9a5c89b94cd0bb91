"""Thousands of fresh configurations, screened by costs and a small model."""

import gc
import weakref
from collections import Counter
from itertools import islice
from typing import Any

import numpy as np
import pytest

from metadata.columns import fastest_plans, make_columns
from metadata.knowledge import Knowledge
from metadata.objectives import in_rows
from metadata.pool import COUNT, draw_pool
from metadata.records import Configuration, DatasetProfile, TrainingObjective
from metadata.space import exists, suited
from service.recommender.aim import Aim, aim_at
from service.recommender.question import Question, build_question
from service.recommender.schemas import RecommendationRequest
from service.recommender.screen import MOST_OF_A_METHOD, OF_A_METHOD, find_pool, screen

METHODS, OPTIMIZERS = ("lora", "dora", "ia3"), ("adamw", "lion")
LOOKED_AT = 80


@pytest.fixture
def question(request_json: dict[str, Any]) -> Question:
    return build_question(RecommendationRequest.model_validate(request_json))


def test_a_pool_is_the_same_whenever_it_is_drawn() -> None:
    first = draw_pool(METHODS, OPTIMIZERS)
    draw_pool.cache_clear()

    again = draw_pool(METHODS, OPTIMIZERS)

    assert len(first.texts) == COUNT == 10_000
    assert again is not first
    assert again.texts == first.texts
    assert np.array_equal(again.described.X_CF, first.described.X_CF)


def test_kept_are_the_best_by_the_small_model_of_those_that_fit(
    question: Question, knowledge: Knowledge
) -> None:
    aim = aim_at(question, knowledge)
    pool = find_pool(knowledge, ("lora",))
    expected_P = knowledge.screen(pool, question.task)
    columns = pool.suited(question.task)
    _, plans = fastest_plans(columns, question.task, memory_bytes=aim.memory_bytes)

    found = list(screen(question, knowledge, aim, methods=("lora",), optimizers=OPTIMIZERS))

    assert pool is draw_pool(knowledge.methods, knowledge.optimizers)
    rows = np.flatnonzero(plans.fits & [kind[0] == "lora" for kind in pool.described.kinds])
    best = min(rows.tolist(), key=lambda row: float(expected_P[row]))
    assert len(found) == len(rows) > 0
    assert found[0] == pool.take(best, question.task.model)
    assert exists(found[0], question.task.model)


def test_no_method_fills_the_screen_where_others_fit(
    question: Question, knowledge: Knowledge
) -> None:
    aim = aim_at(question, knowledge)

    found = first_of(question, knowledge, aim)

    first = Counter(one.method.name for one in found[: MOST_OF_A_METHOD * len(METHODS)])
    assert len(found) == LOOKED_AT
    assert set(first.values()) == {MOST_OF_A_METHOD}


def test_what_would_take_too_long_is_left_out(question: Question, knowledge: Knowledge) -> None:
    aim = aim_at(question, knowledge)
    usual = first_of(question, knowledge, aim)
    limit = float(np.median([fastest_seconds(one, question, aim) for one in usual]))
    short = Aim(memory_bytes=aim.memory_bytes, train_seconds=limit)

    found = first_of(question, knowledge, short)

    assert found
    assert max(fastest_seconds(one, question, aim) for one in found) <= limit
    assert max(fastest_seconds(one, question, aim) for one in usual) > limit


def test_fresh_ones_are_of_the_methods_and_optimizers_that_are_left(
    question: Question, knowledge: Knowledge
) -> None:
    aim = aim_at(question, knowledge)

    found = list(screen(question, knowledge, aim, methods=("ia3", "dora"), optimizers=("lion",)))

    kinds = {(one.method.name, one.optimizer.name) for one in found}
    assert kinds == {("ia3", "lion"), ("dora", "lion")}


def test_a_method_that_no_run_tried_is_drawn_when_it_is_asked_for(
    question: Question, knowledge: Knowledge
) -> None:
    aim = aim_at(question, knowledge)

    found = list(screen(question, knowledge, aim, methods=("vera",), optimizers=OPTIMIZERS))

    assert "vera" not in knowledge.methods
    assert {one.method.name for one in found} == {"vera"}
    assert 0 < len(found) <= OF_A_METHOD


def test_nothing_to_draw_of_gives_nothing(question: Question, knowledge: Knowledge) -> None:
    aim = aim_at(question, knowledge)

    nothing = screen(question, knowledge, aim, methods=(), optimizers=OPTIMIZERS)
    no_optimizer = screen(question, knowledge, aim, methods=METHODS, optimizers=())

    assert [*nothing, *no_optimizer] == []


@pytest.mark.parametrize("device", ["NVIDIA L40S", "cpu"])
@pytest.mark.parametrize("objective", ["supervised", "dpo"])
def test_a_pool_costs_what_its_configurations_cost_on_the_task(
    request_json: dict[str, Any], device: str, objective: TrainingObjective
) -> None:
    data = DatasetProfile.model_validate(request_json["dataset"]["profile"])
    lengths = data.prompt_bytes.model_copy(update={"mean": 3000.0, "p99": 6000, "max": 6000})
    long = data.model_copy(
        update={"prompt_bytes": lengths, **({"kind": "preference"} if objective == "dpo" else {})}
    )
    asked = {"dataset": {"profile": long.model_dump(mode="json")}, "hardware": {"device": device}}
    question = build_question(RecommendationRequest.model_validate({**request_json, **asked}))
    pool, rows = draw_pool(METHODS, OPTIMIZERS), range(0, COUNT, 100)

    _, found = fastest_plans(
        pool.suited(question.task, objective),
        question.task_in_rows,
        counts=pool.counts(question.task.model),
    )

    drawn = [Configuration.model_validate_json(pool.texts[row]) for row in rows]
    ready = [in_rows(suited(one, question.task), objective) for one in drawn]
    _, alone = fastest_plans(make_columns(ready), question.task_in_rows)
    assert question.training_objective == objective
    assert [found[row] for row in rows] == [alone[number] for number in range(len(rows))]


def test_knowledge_keeps_no_pool_that_no_question_draws_on(
    question: Question, knowledge: Knowledge
) -> None:
    pool = draw_pool.__wrapped__(("lora",), ("adamw",), count=10)
    held = weakref.ref(pool)
    assert knowledge.screen(pool, question.task).shape == (10,)
    assert pool.counts(question.task.model) is pool.counts(question.task.model)

    del pool
    gc.collect()

    assert held() is None


def first_of(question: Question, knowledge: Knowledge, aim: Aim) -> list[Configuration]:
    found = screen(question, knowledge, aim, methods=METHODS, optimizers=OPTIMIZERS)
    return list(islice(found, LOOKED_AT))


def fastest_seconds(configuration: Configuration, question: Question, aim: Aim) -> float:
    columns = make_columns([suited(configuration, question.task)])
    _, plans = fastest_plans(columns, question.task, memory_bytes=aim.memory_bytes)
    return plans[0].train_seconds
