"""What is within memory, time and money, and what is said where nothing is."""

from typing import Any

import numpy as np
import pytest

from metadata.errors import NothingFits
from service.recommender.needs import QUANTISED
from service.recommender.question import GIB
from tests.service.recommender.conftest import Ask

FIELDS = {"GiB": "memory_gib", "minutes": "train_minutes", "USD": "usd"}


def test_the_default_fits_by_memory_and_time_alone_where_its_method_is_not_asked_for(
    ask: Ask,
) -> None:
    large, small = ask(methods=["ia3"]), ask(methods=["bitfit"], budget={"memory_gib": 12})

    assert large.default.peak_memory_bytes.high <= 45 * GIB
    assert large.default.fits
    assert not large.default.pareto
    assert small.default.fits == (small.default.peak_memory_bytes.high <= 12 * GIB)


def test_every_recommended_configuration_stays_within_memory_and_time(ask: Ask) -> None:
    given = ask(budget={"memory_gib": 20, "train_minutes": 10}, count=20)

    for option in given.configurations:
        assert option.fits
        assert option.peak_memory_bytes.high <= 20 * GIB
        assert option.train_seconds.high <= 600
    rules = " ".join(exclusion.rule for exclusion in given.excluded)
    assert "peak memory" in rules
    assert "training time" in rules


def test_a_small_card_is_helped_by_checkpointing_and_small_micro_batches(ask: Ask) -> None:
    small = ask(hardware={"device": "NVIDIA GeForce RTX 3060 12GB"})
    large = ask(hardware={"device": "NVIDIA A100 80GB"})

    assert all(o.peak_memory_bytes.high <= 12 * GIB for o in small.configurations)
    assert not any(o.configuration.gradient_checkpointing for o in large.configurations)
    assert small.default.micro_batch_size < large.default.micro_batch_size or (
        small.default.configuration.gradient_checkpointing
    )


def test_a_tight_time_budget_brings_shorter_versions_of_what_is_trusted(
    ask: Ask, near: dict[str, Any]
) -> None:
    usual = ask(**near).configurations[0]
    minutes = usual.train_seconds.high / 60 / 2

    given = ask(**near, budget={"train_minutes": minutes}, count=50).configurations

    shorter = [
        option
        for option in given
        if option.configuration.method == usual.configuration.method
        and option.configuration.epochs < usual.configuration.epochs
    ]
    assert shorter
    assert all(option.train_seconds.high <= 60 * minutes for option in given)
    assert max(option.train_seconds.high for option in shorter) > 0.75 * 60 * minutes


def test_regret_is_among_what_the_question_allows(ask: Ask, near: dict[str, Any]) -> None:
    least = needs(ask, **near, budget={"memory_gib": 0.01})["memory_gib"]
    short = {"train_minutes": ask(**near).configurations[0].train_seconds.high / 60 / 5}

    def among(**changes: Any) -> str:
        return ask(**near, **changes).evidence.judged_among

    assert among() == "free"
    assert among(methods=["lora", "dora"]) == "peft"
    assert among(serve_with="vllm") == "peft"
    assert among(budget={"memory_gib": 1.02 * least}) == "memory"
    assert among(budget=short) == "time"


@pytest.mark.parametrize(
    "budget",
    [
        {"memory_gib": 0.2},
        {"train_minutes": 0.0001},
        {"train_minutes": 0.0015},
        {"memory_gib": 0.2, "train_minutes": 0.0015},
        {"usd": 0.00001},
        {"usd": 0.00003, "train_minutes": 0.001},
    ],
    ids=str,
)
@pytest.mark.parametrize("is_near", [True, False])
def test_the_need_that_is_told_is_enough_and_four_fifths_of_it_are_not(
    ask: Ask, near: dict[str, Any], budget: dict[str, float], is_near: bool
) -> None:
    hardware = {"device": "NVIDIA L40S", "usd_per_hour": 1.2}
    question = {**(near if is_near else {}), "hardware": hardware}

    told = needs(ask, **question, budget=budget)

    for times in (1.0, 1.01):
        enough = {name: max(there, times * told[name]) for name, there in budget.items()}
        assert ask(**question, budget=enough).configurations
    if len(budget) == 1:  # micro-batches grow with memory, so that both do with a little less
        assert needs(ask, **question, budget={name: 0.8 * told[name] for name in budget})


def needs(ask: Ask, *, budget: dict[str, float], **question: Any) -> dict[str, float]:
    """Return what the refusal says is needed, by fields of the budget."""
    with pytest.raises(NothingFits, match=r"the smallest of \d+ needs ") as caught:
        ask(**question, budget=budget)
    said = str(caught.value).split(" needs ")[1].split(" (upper")[0].split(" and ")
    return {FIELDS[unit]: float(need) for need, unit in (one.split() for one in said)}


@pytest.mark.parametrize(
    "changes",
    [
        {"examples": 1},
        {"examples": 10**15},
        {"compression_ratio": 1e-300},
        {"distinct_words": 10**15, "distinct_completions": 10**15},
        {"prompt_bytes": {"mean": 1e15, "p50": 0, "p90": 0, "p99": 10**15, "max": 10**15}},
        {"probe": {"loss_mean": 1e6, "loss_spread": 1e6}},
    ],
)
@pytest.mark.parametrize("budget", [{}, {"train_minutes": 1e-300}, {"memory_gib": 1e-300}])
def test_data_of_any_size_gets_finite_forecasts_or_a_clear_refusal(
    ask: Ask, request_json: dict[str, Any], changes: dict[str, Any], budget: dict[str, float]
) -> None:
    profile = {**request_json["dataset"]["profile"], **changes}

    if budget:
        with pytest.raises(NothingFits, match="the smallest of"):
            ask(dataset={"profile": profile}, budget=budget)
    else:
        given = ask(dataset={"profile": profile}, budget=budget)
        assert all(np.isfinite(o.train_seconds.high) for o in given.configurations)


@pytest.mark.parametrize(
    ("device", "changes", "names"),
    [
        ("NVIDIA GeForce RTX 3060 12GB", {}, True),
        ("NVIDIA GeForce RTX 3060 12GB", {"methods": ["bitfit"]}, False),  # trains the base itself
        (
            "NVIDIA GeForce RTX 3060 12GB",
            {"budget": {"memory_gib": 0.5}},
            False,
        ),  # nor would nf4 fit
        ("NVIDIA H200", {"budget": {"train_minutes": 0.001}}, False),
        ("cpu", {"budget": {"memory_gib": 14}}, False),
    ],
)
def test_a_quantised_base_is_named_only_where_it_would_bring_the_memory(
    ask: Ask, device: str, changes: dict[str, Any], names: bool
) -> None:
    qwen = {"base_model": {"id": "Qwen/Qwen2.5-7B"}, "hardware": {"device": device}}

    with pytest.raises(NothingFits) as caught:
        ask(**qwen, **changes)

    assert (QUANTISED in str(caught.value)) == names
