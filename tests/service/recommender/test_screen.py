"""Thousands of fresh configurations, screened by costs and a small model."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from metadata.columns import fastest_plans
from metadata.footprint import plan
from metadata.knowledge import Knowledge
from metadata.pool import COUNT, draw_pool
from metadata.space import exists
from service.recommender.aim import Aim, aim_at
from service.recommender.question import Question, build_question
from service.recommender.schemas import RecommendationRequest
from service.recommender.screen import KEPT, MOST_OF_A_METHOD, screen

METHODS, OPTIMIZERS = ("lora", "dora", "ia3"), ("adamw", "lion")


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
    pool = draw_pool(("lora",), OPTIMIZERS)
    expected_P = knowledge.screen(pool, question.task)
    _, plans = fastest_plans(pool.columns, question.task, memory_bytes=aim.memory_bytes)

    found = screen(question, knowledge, aim, methods=("lora",), optimizers=OPTIMIZERS)

    order = np.argsort(np.where(plans.fits, expected_P, np.inf), kind="stable")[:KEPT]
    assert 0 < plans.fits.sum() <= COUNT
    assert found == pool.take(order.tolist(), question.task.model)
    assert all(exists(one, question.task.model) for one in found)


def test_no_method_fills_the_screen_where_others_fit(
    question: Question, knowledge: Knowledge
) -> None:
    aim = aim_at(question, knowledge)

    found = screen(question, knowledge, aim, methods=METHODS, optimizers=OPTIMIZERS)

    first = Counter(one.method.name for one in found[: MOST_OF_A_METHOD * len(METHODS)])
    assert len(found) == KEPT
    assert set(first.values()) == {MOST_OF_A_METHOD}


def test_what_would_take_too_long_is_left_out(question: Question, knowledge: Knowledge) -> None:
    aim = aim_at(question, knowledge)
    usual = screen(question, knowledge, aim, methods=METHODS, optimizers=OPTIMIZERS)
    seconds = [plan(one, question.task).train_seconds for one in usual]
    limit = float(np.median(seconds))
    short = Aim(memory_bytes=aim.memory_bytes, train_seconds=limit)

    found = screen(question, knowledge, short, methods=METHODS, optimizers=OPTIMIZERS)

    long = {one.key for one, own in zip(usual, seconds, strict=True) if own > 1.5 * limit}
    assert found
    assert long
    assert not {one.key for one in found} & long


def test_nothing_to_draw_of_gives_nothing(question: Question, knowledge: Knowledge) -> None:
    aim = aim_at(question, knowledge)

    assert screen(question, knowledge, aim, methods=(), optimizers=OPTIMIZERS) == []
