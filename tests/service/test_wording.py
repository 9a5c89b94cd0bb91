from typing import Any, get_args

import pytest

from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS, SCHEDULES
from metadata.records import (
    Choice,
    Configuration,
    Objective,
    OptimizerChoice,
    PreferenceScores,
    Scores,
    TargetModules,
)
from metadata.runs_file import SHIPPED_RUNS, read_runs
from service import wording

NB = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "< 1 s"),
        (45, "45 s"),
        (99.4, "99 s"),
        (99.6, "1.7 min"),
        (720, "12 min"),
        (5969, "99 min"),
        (12_240, "3.4 h"),
        (171_000, "2.0 days"),
    ],
)
def test_a_duration_is_said_in_the_unit_that_suits(seconds: float, words: str) -> None:
    assert wording.duration(seconds).replace(NB, " ") == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(512, "512 B"), (2048, "2.0 KiB"), (48 * 2**20, "48 MiB"), (9.4 * 2**30, "9.4 GiB")],
)
def test_a_size_is_said_in_binary_units(count: float, words: str) -> None:
    assert wording.size(count).replace(NB, " ") == words


@pytest.mark.parametrize(
    ("rate", "words"), [(2e-4, "2e-4"), (1.5e-3, "1.5e-3"), (0.04, "4e-2"), (None, wording.DASH)]
)
def test_a_rate_is_said_as_people_write_it(rate: float | None, words: str) -> None:
    assert wording.rate(rate) == words


def test_no_probability_is_said_to_be_certain() -> None:
    assert wording.percent(1.0).replace(NB, " ") == "over 99 %"
    assert wording.percent(0.0).replace(NB, " ") == "under 1 %"


def test_a_price_below_a_cent_is_not_nothing() -> None:
    assert wording.money(0.0004) == "under $0.01"
    assert wording.money(0) == "$0.00"
    assert wording.money(None) == wording.DASH


def test_a_tiny_negative_number_is_plain_zero() -> None:
    assert wording.decimal(-0.0001) == "0.00"


def test_a_configuration_is_one_sentence() -> None:
    configuration = Configuration(
        method=Choice(name="lora", r=16, lora_alpha=32, lora_dropout=0.0),
        target_modules="all-linear",
        optimizer=OptimizerChoice(name="adamw", learning_rate=2e-4),
        batch_size=8,
        epochs=3,
    )

    assert wording.sentence(configuration) == (
        "LoRA (rank 16, alpha 32) on all linear layers with AdamW at a learning rate of 2e-4, "
        "8 examples a step for 3 epochs"
    )


@pytest.mark.parametrize("method", ["lora", "ia3"])
def test_all_layers_that_can_be_adapted_are_told_apart(method: str) -> None:
    configuration = Configuration(
        method=Choice(name=method),
        optimizer=OptimizerChoice(name="adamw", learning_rate=2e-5),
        batch_size=1,
        epochs=1,
    )
    adapted = [
        configuration.model_copy(update={"target_modules": target})
        for target in get_args(TargetModules)
    ]

    assert len({wording.targets(one) for one in adapted}) == len(adapted)


def test_full_fine_tuning_names_no_layers() -> None:
    configuration = Configuration(
        method=Choice(name="full"),
        optimizer=OptimizerChoice(name="adamw", learning_rate=2e-5),
        batch_size=1,
        epochs=1,
    )

    assert wording.sentence(configuration) == (
        "full fine-tuning with AdamW at a learning rate of 2e-5, 1 example a step for 1 epoch"
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("r", "Rank"),
        ("lora_alpha", "Alpha"),
        ("dora_dropout", "Dropout"),  # of a method that the table has
        ("module_dropout", "Module dropout"),
        ("hybrid_r", "Hybrid rank"),
        ("block_size", "Block size"),
    ],
)
def test_a_value_is_named_in_words(name: str, words: str) -> None:
    assert wording.value_name(name) == words


@pytest.mark.parametrize("table", [METHODS, OPTIMIZERS, SCHEDULES], ids=["m", "o", "s"])
def test_no_two_values_of_an_entry_are_named_alike(table: dict[str, Any]) -> None:
    for spec in table.values():
        words = [wording.value_name(parameter.name) for parameter in spec.parameters]
        assert len(set(words)) == len(words), spec.name
        assert not any("_" in word for word in words), spec.name


@pytest.mark.parametrize("table", [(METHODS, wording.method), (OPTIMIZERS, wording.optimizer)])
def test_no_two_entries_are_named_alike(table: tuple[dict[str, Any], Any]) -> None:
    entries, name_of = table

    assert len({name_of(name) for name in entries}) == len(entries)


def test_a_dropout_that_is_off_is_left_out() -> None:
    configuration = Configuration(
        method=Choice(name="lora", r=8, lora_alpha=16, module_dropout=0.0),
        optimizer=OptimizerChoice(name="adamw", learning_rate=2e-4),
    )

    assert wording.method_values(configuration) == "rank 8, alpha 16"


def test_a_run_of_dpo_is_told_by_its_pairs() -> None:
    preference = PreferenceScores(base_margin=0.0, margin=0.4, base_accuracy=0.5, accuracy=0.75)
    scores = Scores(base_loss=0.693, best_loss=0.6, last_loss=0.65, preference=preference)
    objective = Objective(name="dpo", beta=0.2)
    supervised = next(run for run in read_runs(SHIPPED_RUNS) if run.configuration.keep == "best")
    run = supervised.model_copy(update={"scores": scores, "objective": objective})

    found = dict(wording.run_figures(run))

    assert found["Nats gained per pair"] == "0.093"
    assert found["Held-out margin of rewards"] == "0.400"
    assert found["Held-out pairs ranked right"] == "75 %, before 50 %"
    assert found["Trained with"] == "DPO, on preferences, beta 0.2"


def test_what_a_source_leaves_open_is_told_with_what_follows() -> None:
    run = read_runs(SHIPPED_RUNS)[0]

    def of(gaps: str) -> str:
        origin = run.origin.model_copy(update={"gaps": gaps})
        return wording.left_open(run.model_copy(update={"origin": origin}))

    assert of("") == ""
    assert of("costs.joules") == "its source does not tell costs.joules"
    assert of("task.dataset").endswith("task.dataset; so nothing is learnt from it")
