import re
from functools import cache
from itertools import islice
from pathlib import Path

import pytest

from metadata.errors import InvalidRequest
from metadata.examples import Example, Splits, read_examples, split_examples
from training_worker.tasks.classification import LABELS, MANNERS, TOPICS, WRONG_SHARE
from training_worker.tasks.command import main
from training_worker.tasks.datasets import (
    DATASETS,
    build_dataset,
    in_file_order,
    write_dataset,
)
from training_worker.tasks.grammar import singular
from training_worker.tasks.questions import KIND
from training_worker.tasks.spec import HELD_OUT, DatasetSpec
from training_worker.tasks.text import documents

DRAWN = [spec.name for spec in DATASETS.values() if spec.kind != KIND]
_FORMS = {
    template: re.compile(re.escape(template).replace(r"\{\}", "(.+)") + "\n")
    for templates in MANNERS.values()
    for template in templates
}
FEW_PROMPTS = ["sums", "translation", "units", "comparison", "dates"]


def test_there_are_many_datasets_of_many_kinds() -> None:
    assert len(DATASETS) - len(DRAWN) == 8
    assert len(DRAWN) >= 16
    assert len({DATASETS[name].kind for name in DRAWN}) >= 16


@cache
def built(name: str, *, count: int = 40, seed: int = 0) -> Splits:
    return build_dataset(name, seed=seed, train_examples=count)


@cache
def pretraining_text() -> str:
    return "\n".join(islice(documents(0), 2000))


@pytest.mark.parametrize("name", DATASETS)
def test_the_same_seed_gives_the_same_examples_and_another_seed_others(name: str) -> None:
    again, other = (build_dataset(name, seed=seed, train_examples=40) for seed in (0, 1))

    assert again == built(name)
    assert len(set(again.train) & set(other.train)) <= 4


@pytest.mark.parametrize("name", DATASETS)
def test_no_prompt_stands_in_two_parts(name: str) -> None:
    splits = built(name, count=300)
    train, validation, test = (
        {example.prompt for example in part}
        for part in (splits.train, splits.validation, splits.test)
    )

    assert len(splits.train) == len(train) == 300
    assert train.isdisjoint(validation)
    assert test.isdisjoint(train | validation)


@pytest.mark.parametrize("name", DRAWN)
def test_a_smaller_size_begins_a_larger_one_and_holds_out_the_same(name: str) -> None:
    small, large = built(name), built(name, count=300)

    assert small.train == large.train[:40]
    assert (small.validation, small.test) == (large.validation, large.test)
    assert len(small.validation) == len(small.test) == HELD_OUT


@pytest.mark.parametrize("name", FEW_PROMPTS)
def test_there_are_prompts_enough_for_the_largest_size(name: str) -> None:
    splits = build_dataset(name, train_examples=10_000)

    assert len({example.prompt for example in splits.train}) == 10_000


@pytest.mark.parametrize(
    ("name", "count", "told"),
    [
        ("sums", 29, "30 to 10000"),
        ("sums", 10_001, "30 to 10000"),
        ("facts-people", 35, "steps of 10"),
        ("facts-people", 50_010, "30 to 50000"),
    ],
)
def test_a_size_that_cannot_be_is_refused(name: str, count: int, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        build_dataset(name, train_examples=count)


@pytest.mark.parametrize("name", DATASETS)
def test_no_prompt_is_among_the_pretraining_texts(name: str) -> None:
    assert not [e.prompt for e in built(name).train if e.prompt in pretraining_text()]


@pytest.mark.parametrize("spec", LABELS, ids=lambda spec: spec.name)
def test_labels_are_wrong_in_training_only_and_as_often_as_told(spec: DatasetSpec) -> None:
    splits = build_dataset(spec.name, train_examples=2_000)
    wrong_share = WRONG_SHARE if spec.name.endswith("-noisy") else 0.0

    assert len({example.completion for example in splits.test}) == int(spec.name.split("-")[1])
    right = _right_labels(splits.test)
    trained = [right[_class(example.prompt)] == example.completion for example in splits.train]
    assert 1 - sum(trained) / len(trained) == pytest.approx(wrong_share, abs=0.03)


def _right_labels(examples: tuple[Example, ...]) -> dict[tuple[str, str], str]:
    """Return the only label of each topic and manner."""
    found: dict[tuple[str, str], set[str]] = {}
    for example in examples:
        found.setdefault(_class(example.prompt), set()).add(example.completion)
    assert all(len(labels) == 1 for labels in found.values())
    return {key: label for key, (label,) in found.items()}


@cache
def _class(prompt: str) -> tuple[str, str]:
    """Return the topic and the manner of a message; two words of it tell the topic."""
    (manner, asked), *_ = (
        (manner, found.groups())
        for manner, templates in MANNERS.items()
        for template in templates
        if (found := _FORMS[template].search(prompt))
    )
    (topic, *others) = (
        topic
        for topic, listed in TOPICS.items()
        if set(asked) <= {singular(word) for word in listed}
    )
    assert not others
    return topic, manner


def test_arithmetic_dates_and_counts_are_right() -> None:
    for example in built("sums", count=300).train:
        left, right = example.prompt.removesuffix(" make").split(" and ")
        assert int(left) + int(right) == int(example.completion)
    for example in built("counting", count=300).train:
        listed, asked = example.prompt.removeprefix("On the list: ").split(". How often ")
        count = listed.split(", ").count(asked.strip().removesuffix("?"))
        assert count == int(example.completion)
    for example in built("dates", count=300).train:
        year, _, day = example.completion.split("-")
        assert year in example.prompt
        assert str(int(day)) in example.prompt


def test_a_claim_holds_as_often_as_not() -> None:
    held = [example.completion for example in built("claims", count=300).train]

    assert 0.4 < held.count("yes") / len(held) < 0.6


def test_units_keep_their_sizes() -> None:
    factors: dict[str, set[float]] = {}
    for example in built("units", count=300).train:
        count = next(int(word) for word in example.prompt.split() if word.isdigit())
        result, unit = example.completion.split()
        factors.setdefault(unit, set()).add(int(result) / count)

    assert len(factors) == 6
    assert all(len(found) == 1 for found in factors.values())


@pytest.mark.parametrize("count", [30, 31, 33, 40, 250, 777])
@pytest.mark.parametrize("name", ["guide", "tagging"])
def test_a_written_dataset_is_read_back_in_the_same_parts(
    name: str, count: int, tmp_path: Path
) -> None:
    splits = build_dataset(name, train_examples=count)

    lines = write_dataset(tmp_path / "data.jsonl", splits)
    with (tmp_path / "data.jsonl").open("rb") as file:
        read = tuple(read_examples(file))
    parts = split_examples(read)

    assert lines == len(read) == count * 5 // 4
    assert parts.train == splits.train
    assert parts.validation == splits.validation[: len(parts.validation)]
    assert parts.test == splits.test[: len(parts.test)]
    assert 0 <= len(parts.validation) - len(parts.test) <= 1


@pytest.mark.parametrize("count", [30, 640])
def test_a_file_of_facts_tests_what_it_teaches_in_other_words(count: int) -> None:
    splits = build_dataset("facts-numbers", train_examples=count)
    parts = split_examples(in_file_order(splits))
    trained = {example.prompt for example in parts.train}

    assert set(splits.test) <= set(parts.test)
    assert set(parts.train) <= set(splits.train)
    assert not trained & {example.prompt for example in parts.validation + parts.test}
    taught = {example.completion for example in parts.train}
    assert {example.completion for example in parts.validation + parts.test} <= taught


def test_the_command_lists_and_writes_datasets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    for line, spec in zip(listed, DATASETS.values(), strict=True):
        assert line.split(maxsplit=2) == [spec.name, spec.kind, spec.description]

    wanted = ["write", "robot", "--output", str(tmp_path), "--seed", "3"]
    assert main([*wanted, "--train-examples", "40"]) == 0
    assert "robot.jsonl: 50 examples" in capsys.readouterr().out
    assert len((tmp_path / "robot.jsonl").read_text().splitlines()) == 50


def test_the_command_refuses_what_cannot_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = ["--output", str(tmp_path)]
    with pytest.raises(SystemExit) as exit_info:
        main(["write", "nothing", *output])
    assert exit_info.value.code == 2

    assert main(["write", "robot", *output, "--train-examples", "7"]) == 2
    assert "got 7" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
