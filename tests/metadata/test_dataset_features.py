import time
from pathlib import Path

import pytest

from metadata.errors import InvalidDataset
from metadata.examples import Example, Turn, read_examples
from metadata.features.dataset import profile_dataset

TASKS = Path(__file__).parents[2] / ".." / "shared" / "data" / "tasks"


def labelled(count: int, *, labels: int) -> list[Example]:
    return [Example(None, f"Sentence number {n}.", f"label {n % labels}") for n in range(count)]


def test_numbers_agree_with_a_count_by_hand() -> None:
    examples = [
        Example(None, "é é", "yes"),
        Example(None, "b b b b", "no"),
        Example(None, "b b b b", "no"),
        Example(None, "c", "no"),
    ]

    profile = profile_dataset(examples, name="by hand")

    assert profile.prompt_bytes.max == 7
    assert profile.prompt_bytes.mean == (5 + 7 + 7 + 1) / 4  # é has two bytes
    assert profile.completion_bytes.p50 == 2
    assert profile.distinct_words == 5  # é, b, c, yes, no
    assert profile.repeated_word_fraction == pytest.approx(1 - 5 / 15)
    assert profile.distinct_completions == 2
    assert profile.completion_entropy_bits == pytest.approx(0.8113, abs=1e-4)  # of 1/4 and 3/4
    assert profile.duplicate_fraction == 0.25


def test_kinds_follow_from_the_completions() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    spans = [
        Example(None, f"I met {letters[n % 26]}{n} in town {n}.", f"{letters[n % 26]}{n}")
        for n in range(60)
    ]
    free = [Example(None, f"Tell me of {n}.", f"Once, long ago, {n * 7} came.") for n in range(60)]
    texts = [Example(None, "", f"A text {n}") for n in range(60)]

    kinds = [
        profile_dataset(examples, name="any").kind
        for examples in (labelled(60, labels=3), spans, free, texts)
    ]

    assert kinds == ["classification", "extraction", "generation", "text"]


def test_the_fingerprint_is_of_content_and_order_alone() -> None:
    examples = labelled(20, labels=2)

    first = profile_dataset(examples, name="one")
    same = profile_dataset(list(examples), name="another", group="g")
    other = profile_dataset(examples[::-1], name="one")

    assert first.sha256 == same.sha256 == first.group
    assert same.group == "g"
    assert first.sha256 != other.sha256


def test_a_chat_and_a_pair_of_the_same_words_differ() -> None:
    chat = Example((Turn("user", "a"), Turn("assistant", "b")), "a", "b")
    pair = Example(None, "a", "b")

    assert profile_dataset([chat], name="c").sha256 != profile_dataset([pair], name="p").sha256


def test_repetition_lowers_the_compression_ratio() -> None:
    same = profile_dataset([Example(None, "a b c", "d e f")] * 500, name="same")
    varied = profile_dataset(labelled(500, labels=500), name="varied")

    assert same.compression_ratio < varied.compression_ratio / 3


def test_one_example_is_enough_and_none_is_refused() -> None:
    assert profile_dataset([Example(None, "a", "b")], name="one").completion_entropy_bits == 0
    with pytest.raises(InvalidDataset, match="at least one example"):
        profile_dataset([], name="none")


def test_a_hundred_thousand_examples_take_seconds() -> None:
    examples = [Example(None, f"what is {n} " * 20, f"it is {n * 8} " * 5) for n in range(100_000)]

    started = time.process_time()
    profile_dataset(examples, name="large")

    assert time.process_time() - started < 10


@pytest.mark.skipif(not TASKS.is_dir(), reason="the shared task data are not beside this checkout")
@pytest.mark.parametrize(
    ("name", "kind"),
    [("sst2", "classification"), ("clinc150", "classification"), ("gsm8k", "generation")],
)
def test_real_tasks_are_told_apart(name: str, kind: str) -> None:
    with (TASKS / f"{name}.jsonl").open("rb") as file:
        assert profile_dataset(list(read_examples(file)), name=name).kind == kind
