"""Methods that are asked for, and what is to load the result: kept, left out, or refused."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from metadata.architectures import Linear
from metadata.errors import InvalidConfiguration
from metadata.knowledge import Knowledge
from metadata.methods import METHODS
from metadata.methods.low_rank import LORA
from metadata.methods.spec import Fault
from metadata.parameters import Values, number
from metadata.records import ModelProfile
from service.recommender.aim import aim_at
from service.recommender.candidates import propose
from service.recommender.question import build_question
from service.recommender.schemas import RecommendationAnswer, RecommendationRequest

Ask = Callable[..., RecommendationAnswer]


def named(given: RecommendationAnswer) -> set[str]:
    return {one.configuration.method.name for one in given.configurations}


def never(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> Fault | None:
    """Hold nowhere."""
    return Fault(parameter="r", rule="blocks divide no width of it", next_step="Stop.")


def rank_of_three(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> Fault | None:
    """Hold at rank 3 alone."""
    if number(values, "r") == 3:
        return None
    return Fault(parameter="r", rule="the rank is 3", next_step="Take 3.")


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, knowledge: Knowledge) -> Callable[..., str]:
    """Return a maker of methods: LoRA, changed, under a name that no past run tried."""

    def make(**changes: Any) -> str:
        name = next(name for name in METHODS if name not in knowledge.methods)
        spec = replace(LORA, **{"name": name, "title": "Made up, for a test", **changes})
        monkeypatch.setitem(METHODS, name, spec)  # type: ignore[arg-type]
        return name

    return make


@pytest.fixture
def nowhere(make: Callable[..., str]) -> str:
    """Return a method that can exist on no model."""
    return make(conditions=(never,))


@pytest.fixture
def untried(make: Callable[..., str]) -> str:
    """Return a method that no past run tried."""
    return make()


@pytest.mark.parametrize("serve_with", ["peft", "merged", "vllm"])
def test_only_what_can_be_served_so_is_recommended(ask: Ask, serve_with: Any) -> None:
    given = ask(serve_with=serve_with, count=20)

    assert all(serve_with in METHODS[name].served_by for name in named(given))


def test_what_cannot_be_served_is_told_with_rule_count_and_next_step(ask: Ask) -> None:
    (left,) = [one for one in ask(serve_with="vllm").excluded if "loads in" in one.rule]

    assert left.rule.startswith("the result loads in vLLM as an adapter; that of ")
    assert left.count >= 1
    assert "merged" in left.next_step
    assert not [one for one in ask().excluded if "loads in" in one.rule]


def test_an_asked_method_that_cannot_be_served_is_told_even_without_past_runs(
    ask: Ask, make: Callable[..., str]
) -> None:
    given = ask(methods=[make(no_merge="it changes the input"), "lora"], serve_with="merged")

    assert named(given) == {"lora"}
    (left,) = given.excluded
    assert (left.rule.endswith("that of Made up does not"), left.count) == (True, 1)


def test_asked_methods_that_all_cannot_be_served_are_refused_with_the_reason(ask: Ask) -> None:
    with pytest.raises(InvalidConfiguration, match=r"serve_with: .*all weights are trained") as no:
        ask(methods=["full"], serve_with="peft")
    assert no.value.param == "serve_with"

    with pytest.raises(InvalidConfiguration, match=METHODS["ia3"].no_lora):
        ask(methods=["ia3", "full"], serve_with="vllm")


def test_what_is_to_load_the_result_is_part_of_the_question(ask: Ask) -> None:
    ids = {ask(serve_with=form).id for form in (None, "peft", "merged", "vllm")}

    assert len(ids) == 4


def test_a_method_without_any_configuration_on_the_model_is_refused(ask: Ask, nowhere: str) -> None:
    with pytest.raises(InvalidConfiguration, match="since blocks divide no width of it") as caught:
        ask(methods=[nowhere])

    assert caught.value.param == "methods"
    assert "Made up has no configuration on meta-llama/Llama-3.2-3B" in str(caught.value)


def test_beside_another_it_is_told_as_left_out(ask: Ask, nowhere: str) -> None:
    given = ask(methods=[nowhere, "ia3"])

    assert named(given) == {"ia3"}
    (left,) = [one for one in given.excluded if "blocks divide no width of it" in one.rule]
    assert left.count == 1


def test_a_method_whose_defaults_cannot_exist_is_found_by_its_samples(
    ask: Ask, make: Callable[..., str]
) -> None:
    given = ask(methods=[make(conditions=(rank_of_three,))])

    assert {one.configuration.method.values["r"] for one in given.configurations} == {3}


def test_an_untried_method_stands_at_its_usual_values_among_the_candidates(
    knowledge: Knowledge, request_json: dict[str, Any], untried: str
) -> None:
    request = RecommendationRequest.model_validate({**request_json, "methods": [untried]})

    question, rng = build_question(request), np.random.default_rng(0)
    found = propose(question, knowledge, aim_at(question, knowledge), rng=rng).candidates

    usual = [one.configuration for one in found if one.source == "usual"]
    assert [one.method.name for one in usual] == [untried]
    assert usual[0].method.values == {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0}


def test_an_untried_method_is_said_to_be_untried(ask: Ask, untried: str) -> None:
    alone = ask(methods=[untried]).evidence.advice
    beside = ask(methods=[untried, "lora"]).evidence.advice

    said = "No past run used Made up: its values are the usual ones and samples of its space"
    assert alone.startswith(said)
    assert beside.startswith(said)
    assert "No past run" not in ask(methods=["lora"]).evidence.advice
    assert "No past run" not in ask().evidence.advice


def test_known_tasks_say_nothing_of_a_method_that_was_never_run(
    ask: Ask, runs: list[Any], untried: str
) -> None:
    usual = runs[30].task.dataset.model_copy(update={"sha256": "ab" * 32})
    near = {
        "base_model": {"id": "HuggingFaceTB/SmolLM2-135M"},
        "dataset": {"profile": usual.model_dump(mode="json")},
    }

    assert "start with the first" in ask(**near, methods=["lora"]).evidence.advice
    assert "feed the results back" in ask(**near, methods=[untried]).evidence.advice
