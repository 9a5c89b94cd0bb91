"""Files made to exhaust whoever reads them, and files of a size that must not matter."""

import io
import json
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metadata.data_check.check import DataCheck
from metadata.data_check.problems import Problem, Summary
from metadata.errors import InvalidDataset
from metadata.examples import LINE_BYTES, read_examples

MIB = 2**20


def check(content: bytes) -> tuple[list[Problem], Summary]:
    found: list[Problem] = []
    file = io.BufferedReader(io.BytesIO(content))  # type: ignore[arg-type]
    return found, DataCheck(report=found.append).run(file)


def escaped_quotes(count: int) -> str:
    return '{"text": "' + '\\"' * count


HOSTILE = {
    "100 MiB line": (b'{"text": "' + b"x" * (100 * MIB) + b'"}', {"line-too-long"}),
    "100 MiB of UTF-16": (
        b"\xff\xfe" + "x".encode("utf-16-le") * (50 * MIB),
        {"wide-encoding", "line-too-long"},
    ),
    "brackets": (b"[" * (LINE_BYTES - 2), {"too-deep"}),
    "objects": (b'{"a":' * (3 * MIB), {"too-deep"}),
    "flat lists": (b"[" + b"[]," * (MIB // 2) + b"[]]", {"not-object"}),
    "digits": (b'{"text": "a", "n": ' + b"9" * (8 * MIB) + b"}", {"number-range", "unknown-key"}),
    "fraction": (b'{"text": "a", "n": 1.' + b"9" * (4 * MIB) + b"}", {"unknown-key"}),
    "quotes": (b'"' * (MIB - 1), {"broken-json"}),
    "escaped quotes": (escaped_quotes(MIB // 2 - 10).encode(), {"broken-json"}),
    "backslashes": (b'{"text": "' + b"\\" * (MIB - 11), {"broken-json"}),
    "commas": (b'{"text": [' + b"1, " * (MIB // 4) + b", ]}", {"broken-json"}),
    "spaces and commas": (b"," + b" " * (MIB // 2) + b"," + b" " * (MIB // 4), {"broken-json"}),
    "repeated keys": (
        b'{"text": "a"' + b', "x": 1' * 500_000 + b"}",
        {"repeated-key", "unknown-key"},
    ),
    "messages": (
        b'{"messages": [' + b'{"role": 1, "x": 2},' * 100_000 + b"3]}",
        {"wrong-role", "unknown-key", "missing-key", "wrong-type"},
    ),
    "half pairs": (
        b'{"text": "a", "x": [' + b'"\\ud800",' * 100_000 + b"1]}",
        {"lone-surrogate", "unknown-key"},
    ),
    "carriage returns": (b"\r" * (8 * MIB), {"blank-line", "carriage-return"}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_line_ends_in_a_clear_problem_quickly(name: str) -> None:
    line, rules = HOSTILE[name]
    good = [json.dumps({"text": f"Example {n}."}) for n in range(10)] if line[0] != 0xFF else []
    start = time.process_time()

    problems, _ = check("".join(f"{one}\n" for one in good).encode() + line)

    assert time.process_time() - start < 8  # seconds, on a slow machine; most take under one
    bad = len(good) + 1
    assert {p.rule for p in problems if p.line == bad} - {"too-few-examples"} == rules
    assert len(problems) < 8
    for problem in problems:
        assert len(problem.seen) < 200


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_at_all_break_the_check(content: bytes) -> None:
    _, summary = check(content)

    assert summary.verdict == "errors"  # no example, or too few


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
ROLE = st.sampled_from(["system", "user", "assistant", "tool"]) | JSON
MESSAGES = st.lists(
    st.fixed_dictionaries({}, optional={"role": ROLE, "content": st.text(max_size=3) | JSON})
    | JSON,
    max_size=4,
)
KEYS = ["prompt", "completion", "text", "chosen", "rejected"]
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        **{key: st.text(max_size=3) | JSON for key in KEYS},
        "messages": MESSAGES | JSON,
        "input": st.fixed_dictionaries({}, optional={"messages": MESSAGES, "tools": JSON}) | JSON,
        "preferred_output": MESSAGES | JSON,
        "non_preferred_output": MESSAGES | JSON,
    },
)


@settings(max_examples=200, deadline=None)
@given(st.lists(RECORDS, min_size=1, max_size=3))
def test_whatever_training_refuses_is_an_error_with_a_rule_of_its_own(
    records: list[object],
) -> None:
    content = "".join(json.dumps(record) + "\n" for record in records).encode()

    problems, _ = check(content)

    about_lines = [p for p in problems if p.severity == "error" and p.rule != "too-few-examples"]
    assert first_refused(content) in {None, *(p.line for p in about_lines)}
    assert "refused" not in {p.rule for p in problems}  # the rules know every reason


def first_refused(content: bytes) -> int | None:
    try:
        list(read_examples(io.BytesIO(content)))
    except InvalidDataset as error:
        return error.line
    return None


def write_examples(path: Path, size_bytes: int, *, sentences: int = 12) -> int:
    """Write a file with one repeated example and one of broken JSON in every 1,000 lines."""
    with path.open("wb") as file:
        for number, line in enumerate(_lines(sentences), start=1):
            file.write(line)
            if file.tell() >= size_bytes:
                return number
    raise AssertionError


def _lines(sentences: int) -> Iterator[bytes]:
    number = 0
    while True:
        number += 1
        if number % 1000 == 0:
            yield b'{"prompt": \n'
        else:
            asked = number - 1 if number % 1000 == 999 else number
            prompt = f"Question {asked}: " + "how many words does this have? " * sentences
            yield json.dumps({"prompt": prompt, "completion": f"Answer {asked}."}).encode() + b"\n"


def test_memory_does_not_grow_with_a_file(tmp_path: Path) -> None:
    peaks = []
    for mib in (1, 5):
        write_examples(tmp_path / "train.jsonl", mib * MIB, sentences=60)
        with (tmp_path / "train.jsonl").open("rb") as file:
            tracemalloc.start()
            summary = DataCheck(report=lambda problem: None).run(file)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert summary.size_bytes >= mib * MIB

    lines_more = summary.lines * 4 // 5
    assert peaks[1] - peaks[0] < 400 * lines_more  # Python's own, of the recent keys
    assert peaks[1] < 8 * MIB


MEASURE = """
import resource, sys
from metadata.data_check.check import DataCheck
count = 0
def report(problem):
    global count
    count += 1
with open(sys.argv[1], "rb") as file:
    DataCheck(report=report).run(file)
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
def test_a_file_of_200_mb_takes_no_more_memory_than_its_keys(tmp_path: Path) -> None:
    measured = []
    for mib in (20, 200):
        lines = write_examples(tmp_path / "train.jsonl", mib * MIB)
        command = [sys.executable, "-c", MEASURE, str(tmp_path / "train.jsonl")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        problems, peak_bytes = map(int, done.stdout.split())
        assert problems == lines // 1000 + (lines + 1) // 1000
        measured.append(peak_bytes)

    assert measured[1] - measured[0] < 40 * MIB
