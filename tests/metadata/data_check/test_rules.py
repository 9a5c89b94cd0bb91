"""Rules that look at lengths or at a whole file, and the promises of the table."""

import io
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from metadata.data_check.check import DataCheck
from metadata.data_check.problems import Problem, Summary
from metadata.data_check.rules import RULES
from metadata.data_check.tokens import ByteCounter, TokenizerCounter, counter_for
from metadata.errors import InvalidRequest
from metadata.features.model import find_model

TINY = find_model("peftwise-tiny")
TINY_FOLDER = Path(__file__).parents[3] / "training_worker" / "base_models" / "peftwise-tiny"


def check(
    records: Iterable[Any], validation: Iterable[Any] | None = None, **options: Any
) -> tuple[list[Problem], Summary]:
    found: list[Problem] = []
    held_out = None if validation is None else opened(validation)
    return found, DataCheck(report=found.append, **options).run(opened(records), held_out)


def opened(records: Iterable[Any]) -> io.BufferedReader:
    content = "".join(json.dumps(record) + "\n" for record in records).encode()
    return io.BufferedReader(io.BytesIO(content))  # type: ignore[arg-type]


def pair(number: int, completion: str | None = None) -> dict[str, str]:
    return {"prompt": f"Question {number}?", "completion": completion or f"Answer {number}."}


def rules_by_line(problems: list[Problem]) -> set[tuple[int, str]]:
    return {(problem.line, problem.rule) for problem in problems}


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
def test_a_rule_says_what_must_hold_and_what_to_do(rule: Any) -> None:
    assert rule.name == rule.name.lower().replace(" ", "-")
    assert rule.must[0].isupper()
    assert rule.must.endswith(".")
    assert rule.fix[0].isupper()
    assert rule.fix.endswith(".")
    assert ("--fix" in rule.fix) is (rule.repair is not None)


@pytest.mark.parametrize(
    ("count", "rules"),
    [
        (0, {(1, "too-few-examples")}),
        (2, {(2, "too-few-examples")}),
        (3, {(3, "few-examples")}),
        (9, {(9, "few-examples")}),
        (10, set()),
    ],
)
def test_too_few_examples_are_told_at_the_last_line(
    count: int, rules: set[tuple[int, str]]
) -> None:
    problems, summary = check(pair(n) for n in range(count))

    assert rules_by_line(problems) == rules
    assert summary.examples == count


def test_equal_examples_count_once() -> None:
    problems, _ = check([pair(1)] * 20)

    assert (20, "too-few-examples") in rules_by_line(problems)


def test_with_a_validation_file_one_example_is_enough_to_train() -> None:
    problems, _ = check([pair(1)], [pair(n) for n in range(2, 22)])

    assert rules_by_line(problems) == {(1, "few-examples")}


def test_a_rare_class_is_told_where_it_first_stands() -> None:
    labels = ["yes"] * 30 + ["no"] + ["perhaps"] * 10 + ["no"]

    problems, _ = check(pair(n, label) for n, label in enumerate(labels))

    assert rules_by_line(problems) == {(31, "class-imbalance")}
    assert problems[0].seen == '2 of "no", 30 of "yes"'


def test_answers_that_are_all_the_same_are_told() -> None:
    problems, _ = check(pair(n, "yes") for n in range(20))

    assert rules_by_line(problems) == {(1, "class-imbalance")}


@pytest.mark.parametrize("labels", [["yes", "no"] * 10, ["yes"] * 10 + ["no"] * 100])
def test_classes_within_ten_to_one_are_in_balance(labels: list[str]) -> None:
    assert check(pair(n, label) for n, label in enumerate(labels))[0] == []


def test_free_answers_are_no_classes() -> None:
    answers = ["the same"] * 40 + [f"Another answer, number {n}." for n in range(60)]

    assert check(pair(n, answer) for n, answer in enumerate(answers))[0] == []


def test_lengths_are_held_against_the_context_in_tokens() -> None:
    bytes_of_context = int(TINY.context_tokens * TINY.bytes_per_token)
    fits, long = "x" * (bytes_of_context - 200), "x" * (bytes_of_context + 20)
    records = [pair(n) for n in range(10)]
    records += [{"prompt": long, "completion": "a"}, {"prompt": "a", "completion": long}]
    records += [{"prompt": fits, "completion": "b"}]

    problems, summary = check(records, model=TINY)
    unnamed, _ = check(records)

    over = {(11, "over-context"), (12, "over-context"), (12, "long-answer")}
    assert rules_by_line(problems) == over
    assert unnamed == []
    assert "the profile of peftwise-tiny" in summary.tokens.counted_by
    assert summary.tokens.is_estimated


def test_without_a_model_an_answer_of_8192_tokens_is_long() -> None:
    records = [pair(n) for n in range(10)] + [pair(10, "x" * 4 * 8192), pair(11, "x" * 32_769)]

    assert rules_by_line(check(records)[0]) == {(12, "long-answer")}


def test_the_longer_side_of_a_preference_counts() -> None:
    sides = [{"prompt": f"{n}?", "chosen": "a", "rejected": "b" * 40_000} for n in range(10)]

    problems, _ = check(sides)

    assert {p.rule for p in problems} == {"long-answer"}
    assert len(problems) == 10


def test_a_tokenizer_counts_exactly_at_first_and_always_near_the_context() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(TINY_FOLDER / "tokenizer.json"))
    counter = counter_for(TINY, TINY_FOLDER)
    assert isinstance(counter, TokenizerCounter)
    texts = [f"The answer to number {n} is {n * n}, as was said." for n in range(50)]
    long = " ".join(texts)
    assert len(long) > TINY.context_tokens

    def exact(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    assert [counter.count(text) for text in texts] == [exact(text) for text in texts]
    counter._left = 0
    estimates = [counter.count(text) for text in texts]
    assert sum(estimates) == pytest.approx(sum(map(exact, texts)), rel=0.05)
    assert counter.is_estimate
    assert counter.count(long) == exact(long)


def test_a_tokenizer_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    (tmp_path / "tokenizer.json").write_text("{")

    with pytest.raises(InvalidRequest, match="Download it anew"):
        counter_for(TINY, tmp_path)


def test_without_a_tokenizer_bytes_count(tmp_path: Path) -> None:
    counter = counter_for(TINY, tmp_path)

    assert isinstance(counter, ByteCounter)
    assert counter.count("") == 0
    assert counter.count("é" * 100) == -int(-200 // TINY.bytes_per_token)


def test_a_validation_file_is_checked_too() -> None:
    problems, summary = check(
        (pair(n) for n in range(20)), [*(pair(n) for n in range(30, 45)), {"prompt": "x"}]
    )

    assert [(p.part, p.line, p.rule) for p in problems] == [("validation", 16, "missing-key")]
    assert (summary.examples, summary.validation_examples) == (20, 15)


def test_a_prompt_leaks_with_another_answer_too() -> None:
    problems, _ = check((pair(n) for n in range(20)), [pair(4, "No."), *map(pair, range(50, 60))])

    assert rules_by_line(problems) == {(5, "leakage")}


def test_many_different_examples_are_sampled_and_that_is_said() -> None:
    records = [pair(n) for n in range(3000)]

    _, summary = check(records + records[:1000], most_keys=1000)

    said = re.search(r"among 1 in ([248]) of them", summary.notes[-1])
    assert said is not None
    duplicates = next(c.lines for c in summary.counts if c.rule == "duplicate")
    assert duplicates == pytest.approx(1000 / int(said[1]), rel=0.2)


def test_reading_ends_where_too_much_is_wrong() -> None:
    problems, summary = check([[]] * 50, most_problems=20)

    assert len(problems) == 20
    assert not summary.is_complete
    assert summary.lines == 20


def test_progress_adds_up_to_the_size_of_both_files() -> None:
    told: list[int] = []
    records = [pair(n, "x" * 100_000) for n in range(30)]

    _, summary = check(records, [pair(40)], progress=told.append)

    assert sum(told) == summary.size_bytes + len(json.dumps(pair(40))) + 1
    assert len(told) >= 4
