from itertools import pairwise

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace

from metadata.errors import InvalidConfiguration
from metadata.examples import Example
from metadata.features.dataset import profile_dataset
from metadata.features.device import find_device
from metadata.features.model import find_model
from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS, SCHEDULES
from metadata.priors import rate_ratio, width_rule_rate
from metadata.records import Choice, Configuration, ModelProfile, OptimizerChoice, Task
from metadata.space import (
    build_space,
    check,
    default_configuration,
    neighbours,
    sample,
    suited,
    width_rule_configuration,
)

TINY = find_model("peftwise-tiny")
LARGE = find_model("meta-llama/Llama-3.1-70B")


def task(model: ModelProfile = TINY, *, words: int = 5, device: str = "l40s") -> Task:
    examples = [Example(None, f"question {n} " * words, f"answer {n}") for n in range(50)]
    return Task(
        model=model,
        dataset=profile_dataset(examples, name="questions"),
        device=find_device(device),
    )


def lora(**changes: object) -> Configuration:
    method = {"name": "lora", "r": 8, "lora_alpha": 16, "lora_dropout": 0.0} | changes
    return Configuration(
        method=Choice.model_validate(method),
        optimizer=OptimizerChoice(name="adamw", learning_rate=1e-3),
    )


def test_the_space_is_a_configspace_with_every_entry_of_the_tables() -> None:
    space = build_space(TINY)

    assert isinstance(space, ConfigurationSpace)
    assert set(space["method"].choices) == set(METHODS)
    assert set(space["optimizer"].choices) == set(OPTIMIZERS)
    assert set(space["schedule"].choices) == set(SCHEDULES)


@pytest.mark.parametrize("model", [TINY, LARGE], ids=lambda model: model.id)
def test_every_sample_and_neighbour_passes_the_check(model: ModelProfile) -> None:
    rng = np.random.default_rng(0)

    drawn = sample(model, count=200, rng=rng)
    near = [one for c in drawn[:40] for one in neighbours(c, model, count=5, rng=rng)]

    assert len(drawn) == 200
    assert len(near) == 200
    for configuration in [*drawn, *near]:
        check(configuration, model)


def test_samples_reach_every_entry_and_both_ends_of_the_rate() -> None:
    drawn = sample(TINY, count=500, rng=np.random.default_rng(1))
    ratios = [rate_ratio(one, TINY) for one in drawn]

    assert {one.method.name for one in drawn} == set(METHODS)
    assert {one.target_modules for one in drawn} == {"qv", "qk", "attention", "mlp", "all-linear"}
    assert {one.batch_size for one in drawn} == {1, 2, 4, 8, 16, 32, 64}
    assert 1 / 16.1 < min(ratios) < 1 / 12
    assert 12 < max(ratios) < 16.1
    assert min(one.epochs for one in drawn) >= 0.5
    assert max(one.epochs for one in drawn) <= 60


def test_the_same_random_numbers_give_the_same_configurations() -> None:
    first, again, other = (
        sample(TINY, count=20, rng=np.random.default_rng(seed)) for seed in (3, 3, 4)
    )

    assert first == again
    assert first != other


def test_a_choice_of_methods_is_kept_to() -> None:
    rng = np.random.default_rng(0)

    drawn = sample(TINY, count=50, rng=rng, methods=["ia3", "full"])

    assert {one.method.name for one in drawn} == {"ia3", "full"}
    assert {one.target_modules for one in drawn if one.method.name == "full"} == {"all-linear"}


@pytest.mark.parametrize("count", [0, 1, 2])
def test_as_many_are_drawn_as_asked_for(count: int) -> None:
    assert len(sample(TINY, count=count, rng=np.random.default_rng(0))) == count


def test_neighbours_change_little_and_keep_what_is_not_searched() -> None:
    start = suited(lora(), task()).model_copy(update={"seed": 7, "gradient_checkpointing": True})

    near = neighbours(start, TINY, count=100, rng=np.random.default_rng(0))

    assert all(one.seed == 7 and one.gradient_checkpointing for one in near)
    assert all(one.max_length_tokens == start.max_length_tokens for one in near)
    assert sum(one.method.name == "lora" for one in near) > 60
    assert len({one.key for one in near}) > 70
    assert sum(one.key == start.key for one in near) < 10


@pytest.mark.parametrize("is_drawn", [True, False])
def test_ranks_are_those_that_people_use(is_drawn: bool) -> None:
    rng = np.random.default_rng(0)

    found = (
        sample(TINY, count=200, rng=rng, methods=["lora"], usual_counts=True)
        if is_drawn
        else neighbours(lora(r=16), TINY, count=200, rng=rng)
    )

    ranks = {one.method.values["r"] for one in found if one.method.name == "lora"}
    assert ranks <= {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256}
    assert len(ranks) > 4


def test_a_neighbour_of_another_method_takes_over_what_it_shares() -> None:
    start = lora(r=13, lora_alpha=29)

    near = neighbours(start, TINY, count=400, rng=np.random.default_rng(0))

    moved = [one for one in near if one.method.name == "dora"]
    assert moved
    assert any(one.method.values["r"] == 13 for one in moved)


BAD = [
    (lora(name="lorra"), "method.name", 'Did you mean "lora"'),
    (lora(r=None), "method.r", "whole number from 1 to 256"),
    (lora(r=0), "method.r", "whole number from 1 to 256"),
    (lora(r=257), "method.r", "whole number from 1 to 256"),
    (lora(r=8.0), "method.r", "whole number"),
    (lora(r=True), "method.r", "whole number"),
    (lora(r="8"), "method.r", "whole number"),
    (lora(r=10**5000), "method.r", "whole number"),
    (lora(lora_dropout=0.9), "method.lora_dropout", "from 0.0 to 0.3"),
    (lora(rank=8), "method.rank", "no value of this name"),
    (lora(r=65), "method.r", "smallest width"),
]


@pytest.mark.parametrize(("configuration", "param", "words"), BAD, ids=range(len(BAD)))
def test_a_bad_method_value_is_named(configuration: Configuration, param: str, words: str) -> None:
    with pytest.raises(InvalidConfiguration, match=words) as caught:
        check(configuration, TINY)

    assert caught.value.param == param
    assert len(str(caught.value)) < 300


def test_a_missing_value_is_an_error_that_names_the_default() -> None:
    configuration = lora().model_copy(update={"method": Choice.model_validate({"name": "lora"})})

    with pytest.raises(InvalidConfiguration, match=r"needs a value for r, got none.*16"):
        check(configuration)


def test_a_rank_is_held_against_the_modules_it_is_used_on() -> None:
    wide = lora(r=100)

    check(wide)  # of some model it may be
    check(wide.model_copy(update={"target_modules": "mlp"}), TINY)
    with pytest.raises(InvalidConfiguration, match="at most the smallest width"):
        check(wide.model_copy(update={"target_modules": "qv"}), TINY)


def test_a_missing_rate_is_refused_with_a_usual_one() -> None:
    bare = lora().model_copy(update={"optimizer": OptimizerChoice(name="adamw")})

    with pytest.raises(InvalidConfiguration, match="A usual one is"):
        check(bare, TINY)


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("optimizer", {"name": "sgdd", "learning_rate": 1e-3}, "optimizer.name"),
        (
            "optimizer",
            {"name": "adamw", "learning_rate": 1e-3, "weight_decay": 0.5},
            "optimizer.weight_decay",
        ),
        ("schedule", {"name": "linaer"}, "schedule.name"),
        ("schedule", {"name": "constant_with_cooldown"}, "schedule.cooldown_fraction"),
    ],
)
def test_optimizer_and_schedule_are_checked_too(field: str, value: object, param: str) -> None:
    content = lora().model_dump() | {field: value}

    with pytest.raises(InvalidConfiguration) as caught:
        check(Configuration.model_validate(content))

    assert caught.value.param == param


def test_full_fine_tuning_of_quantised_weights_is_refused() -> None:
    full = lora().model_copy(
        update={"method": Choice(name="full"), "quantization": "nf4"},
    )

    with pytest.raises(InvalidConfiguration, match="quantised"):
        check(full)


def test_the_default_is_lora_of_rank_16_at_2e_4_and_the_rule_changes_its_rate_alone() -> None:
    default, rule = default_configuration(task()), width_rule_configuration(task())

    assert default.method.values == {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0}
    assert default.target_modules == "all-linear"
    assert default.optimizer.learning_rate == 2e-4
    assert rule.optimizer.learning_rate == width_rule_rate(TINY)
    assert rule.model_dump(exclude={"optimizer"}) == default.model_dump(exclude={"optimizer"})
    check(default, TINY)
    check(rule, TINY)


def test_length_and_precision_suit_the_task() -> None:
    lengths = [
        suited(lora(), task(LARGE, words=words)).max_length_tokens for words in (1, 100, 10_000)
    ]

    assert all(shorter < longer for shorter, longer in pairwise(lengths))
    assert lengths[-1] == 4096
    assert suited(lora(), task(words=1000)).max_length_tokens == TINY.context_tokens
    assert suited(lora(), task()).precision == "bf16"
    assert suited(lora(), task(device="cpu")).precision == "fp32"
