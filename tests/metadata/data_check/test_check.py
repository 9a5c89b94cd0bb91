import gc
import io
import random
from collections import Counter

import pytest

from metadata.data_check.check import DataCheck
from metadata.data_check.lines import read_lines
from metadata.data_check.problems import Problem, Summary
from metadata.data_check.rules import RULES
from metadata.errors import InvalidDataset
from metadata.examples import read_examples
from tests.metadata.data_check.malformed import GOOD, dump, faults_of, make_malformed

SEEDS = range(200)


def opened(content: bytes) -> io.BufferedReader:
    return io.BufferedReader(io.BytesIO(content))  # type: ignore[arg-type]


def check(content: bytes, validation: bytes | None = None) -> tuple[list[Problem], Summary]:
    found: list[Problem] = []
    held_out = None if validation is None else opened(validation)
    return found, DataCheck(report=found.append).run(opened(content), held_out)


def refuses(content: bytes) -> bool:
    try:
        for _ in read_examples(io.BytesIO(content)):
            pass
    except InvalidDataset:
        return True
    return False


@pytest.mark.parametrize("seed", SEEDS)
def test_all_that_is_wrong_is_found_and_nothing_else(seed: int) -> None:
    made = make_malformed(seed)

    problems, summary = check(made.training, made.validation)

    assert {(p.line, p.rule) for p in problems if p.part == "training"} == made.expected
    assert [p for p in problems if p.part == "validation"] == []
    assert len(problems) == len(made.expected)
    assert Counter(p.rule for p in problems) == {c.rule: c.lines for c in summary.counts}
    assert (summary.verdict == "errors") is any(p.severity == "error" for p in problems)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_file_that_training_refuses_has_an_error(seed: int) -> None:
    made = make_malformed(seed)

    _, summary = check(made.training)

    assert summary.verdict == "errors" or not refuses(made.training)


def test_the_generator_breaks_nearly_every_rule() -> None:
    broken = {rule for seed in SEEDS for _, rule in make_malformed(seed).expected}

    elsewhere = {  # need a large line, a model, or another kind of file; tested by themselves
        "line-too-long", "over-context", "long-answer", "refused", "too-few-examples",
        "few-examples", "class-imbalance",
    }  # fmt: skip
    assert broken == set(RULES) - elsewhere


@pytest.mark.filterwarnings("error")
def test_a_wide_file_that_is_closed_while_it_is_read_is_no_mistake() -> None:
    with opened(("[]\n" * 3).encode("utf-16")) as file:
        lines = read_lines(file)
        assert next(lines).text == "[]"

    del lines
    gc.collect()


def test_a_file_of_utf16_that_ends_within_a_character_is_told() -> None:
    content = "".join(f'{{"text": "{n}"}}\n' for n in range(12)).encode("utf-16-le")

    problems, _ = check(content + b"\x3d\xd8" + b"x")

    assert [(p.line, p.rule) for p in problems] == [(1, "wide-encoding"), (13, "not-utf8")]


@pytest.mark.parametrize("form", GOOD)
def test_a_line_with_a_fault_breaks_the_rules_of_the_fault(form: str) -> None:
    for number, (make, rules) in enumerate(faults_of(form)):
        rng = random.Random(number)
        good = [GOOD[form](rng, str(index)) for index in range(12)]
        line = make(rng, good.pop())

        problems, _ = check(b"".join(map(dump, good)) + line + b"\n")

        assert {(p.line, p.rule) for p in problems} == {(12, rule) for rule in rules}, (rules, line)
        for problem in problems:
            assert len(problem.seen) < 200
            assert problem.seen.isprintable()
            assert problem.seen
