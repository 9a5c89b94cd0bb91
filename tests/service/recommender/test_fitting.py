from typing import Any

import pytest

from metadata.footprint import plan
from metadata.knowledge import Knowledge
from metadata.methods import METHODS
from metadata.records import Configuration
from metadata.space import default_configuration
from service.recommender.aim import aim_at
from service.recommender.candidates import Candidate
from service.recommender.fitting import make_fit
from service.recommender.question import Question, build_question
from service.recommender.schemas import RecommendationRequest

FAST, SLOW = "NVIDIA L40S", "NVIDIA GeForce RTX 3060 12GB"


def ask(request_json: dict[str, Any], device: str) -> Question:
    model, memory = {"id": "meta-llama/Llama-3.2-1B"}, {"memory_gib": 4}
    asked = {"base_model": model, "hardware": {"device": device}, "budget": memory}
    return build_question(RecommendationRequest.model_validate({**request_json, **asked}))


def with_large_batches(question: Question, method: dict[str, Any] | None = None) -> Configuration:
    values = default_configuration(question.task).model_dump() | {"batch_size": 128}
    return Configuration.model_validate(values | ({} if method is None else {"method": method}))


@pytest.mark.parametrize(("device", "is_faster"), [(FAST, True), (SLOW, False)])
def test_layers_run_again_where_larger_micro_batches_win_more_time_than_that_takes(
    request_json: dict[str, Any], knowledge: Knowledge, device: str, is_faster: bool
) -> None:
    question = ask(request_json, device)
    configuration = with_large_batches(question)

    candidate = Candidate(configuration=configuration, source="sample")
    (made,) = make_fit([candidate], question, aim_at(question, knowledge))

    plain = plan(configuration, question.task, memory_bytes=made.plan.peak_bytes)
    assert made.plan.fits
    assert made.plan.peak_bytes <= question.memory_bytes
    assert made.configuration.gradient_checkpointing == is_faster
    assert (made.plan.train_seconds < 0.8 * plain.train_seconds) == is_faster


def test_a_method_whose_layers_cannot_run_again_is_left_without(
    request_json: dict[str, Any], knowledge: Knowledge
) -> None:
    question = ask(request_json, FAST)
    method = {"name": "prefix_tuning", "num_virtual_tokens": 16}
    configuration = with_large_batches(question, method)
    candidate = Candidate(configuration=configuration, source="sample")

    (made,) = make_fit([candidate], question, aim_at(question, knowledge))

    assert not METHODS["prefix_tuning"].checkpoints
    assert made.configuration == candidate.configuration
    assert made.plan.accumulation_steps > 1
