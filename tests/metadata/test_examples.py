import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadata.errors import InvalidDataset
from metadata.examples import Example, Turn, parse_example, read_examples, split_examples

GOOD = b'{"prompt": "2 + 2", "completion": "4"}\n'


def read(*lines: bytes) -> list[Example]:
    return list(read_examples(lines))


def test_the_three_shapes_are_read_and_blank_lines_skipped() -> None:
    chat = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"},
        ]
    }

    examples = read(json.dumps(chat).encode(), b"\n", b"  \r\n", GOOD, b'{"text": "Once"}')

    assert examples == [
        Example(
            (Turn("system", "Be brief."), Turn("user", "Hi"), Turn("assistant", "Hello")),
            "Be brief.\nHi",
            "Hello",
        ),
        Example(None, "2 + 2", "4"),
        Example(None, "", "Once"),
    ]


def test_a_byte_order_mark_is_tolerated() -> None:
    assert len(read(b"\xef\xbb\xbf" + GOOD)) == 1


def test_extra_keys_are_left_alone() -> None:
    assert read(b'{"id": 7, "prompt": "a", "completion": "b"}') == [Example(None, "a", "b")]


def test_reading_takes_one_line_at_a_time() -> None:
    def lines():
        yield GOOD
        raise AssertionError("the second line was read too early")

    assert next(read_examples(lines())) == Example(None, "2 + 2", "4")


BAD = {
    b'{"prompt": "a"': "whole JSON value",
    b'"text"': "JSON object",
    b"[1, 2]": "JSON object",
    b'{"foo": 1}': "an example is one of",
    b'{"instruction": "a", "output": "b"}': '"instruction" to "prompt"',
    b'{"prompt": "a"}': '"completion" is missing',
    b'{"prompt": "a", "response": "b"}': '"response" to "completion"',
    b'{"prompt": 1, "completion": "b"}': '"prompt" is text',
    b'{"prompt": "a", "completion": NaN}': '"completion" is text',
    b'{"prompt": "a", "completion": " \\n"}': "must not be empty",
    b'{"text": ""}': "must not be empty",
    b'{"text": 1e999}': '"text" is text',
    b'{"text": ' + b"9" * 5000 + b"}": "too many digits",
    b"[" * 100_000: "nested too deeply",
    b'{"text": "\\ud800"}': "surrogate",
    b'{"text": "\xff"}': "UTF-8",
    b"\xff\xfe{\x00": "UTF-8",
    b'{"messages": []}': '"messages" is a list',
    b'{"messages": "hi"}': '"messages" is a list',
    b'{"messages": ["hi"]}': "a message is an object",
    b'{"messages": [{"role": "robot", "content": "x"}]}': "a role is one of",
    b'{"messages": [{"role": ["user"], "content": "x"}]}': "a role is one of",
    b'{"messages": [{"role": "user", "content": null}]}': '"content" of a message is text',
    b'{"messages": [{"role": "user", "content": "x"}]}': "needs an assistant turn",
}


@pytest.mark.parametrize(("raw", "rule"), BAD.items(), ids=range(len(BAD)))
def test_a_bad_line_is_named_with_its_rule(raw: bytes, rule: str) -> None:
    with pytest.raises(InvalidDataset) as caught:
        read(*[GOOD] * 56, raw, GOOD)

    assert caught.value.line == 57
    assert str(caught.value).startswith("Line 57: ")
    assert rule in str(caught.value)
    assert len(str(caught.value)) < 500


def chat(*roles: str) -> dict[str, object]:
    return {"messages": [{"role": role, "content": "x"} for role in roles]}


@pytest.mark.parametrize(
    ("roles", "rule"),
    [
        (("user", "assistant", "user"), "ends with the assistant"),
        (("assistant",), "by turns"),
        (("user", "user", "assistant"), "by turns"),
        (("user", "system", "assistant"), "by turns"),
        (("system", "system", "user", "assistant"), "by turns"),
    ],
)
def test_turns_out_of_order_are_refused(roles: tuple[str, ...], rule: str) -> None:
    with pytest.raises(InvalidDataset, match=rule):
        parse_example(chat(*roles), line=3)


def test_the_last_assistant_turn_of_a_long_chat_is_the_completion() -> None:
    example = parse_example(chat("user", "assistant", "user", "assistant"), line=1)

    assert example.completion == "x"
    assert example.prompt == "x\nx\nx"


@pytest.mark.parametrize("lines", [[], [b"\n", b"   "]])
def test_a_file_without_examples_is_refused(lines: list[bytes]) -> None:
    with pytest.raises(InvalidDataset, match="at least one example"):
        read(*lines)


def test_a_line_longer_than_the_limit_is_refused() -> None:
    with pytest.raises(InvalidDataset, match="at most"):
        read(b'{"text": "' + b"a" * 2**24 + b'"}')


@given(st.binary(max_size=200))
def test_no_line_does_worse_than_a_named_refusal(raw: bytes) -> None:
    with suppress(InvalidDataset):
        read(raw)


def numbered(count: int, *, prompts: int) -> list[Example]:
    return [Example(None, f"prompt {n % prompts}", f"completion {n}") for n in range(count)]


def test_splits_keep_the_order_of_the_file() -> None:
    examples = numbered(100, prompts=100)

    splits = split_examples(examples)

    assert splits.train == tuple(examples[:80])
    assert splits.validation == tuple(examples[80:90])
    assert splits.test == tuple(examples[90:])


def test_examples_of_one_prompt_stay_together() -> None:
    splits = split_examples(numbered(200, prompts=20))

    prompts = [{e.prompt for e in part} for part in (splits.train, splits.validation, splits.test)]
    assert [len(part) for part in prompts] == [16, 2, 2]
    assert len(set().union(*prompts)) == 20


def test_plain_texts_and_one_prompt_for_all_are_split_by_example() -> None:
    for examples in (
        [Example(None, "", f"text {n}") for n in range(50)],
        [Example(None, "Write a poem", f"poem {n}") for n in range(50)],
    ):
        splits = split_examples(examples)
        assert (len(splits.train), len(splits.validation), len(splits.test)) == (40, 5, 5)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=120))
def test_every_example_is_in_one_split_and_none_is_empty(numbers: list[int]) -> None:
    examples = [Example(None, f"p{n}", f"c{n}") for n in numbers]
    if len(set(numbers)) < 3:
        with pytest.raises(InvalidDataset, match="at least 3 different"):
            split_examples(examples)
        return

    parts = split_examples(examples)

    assert all((parts.train, parts.validation, parts.test))
    joined = [*parts.train, *parts.validation, *parts.test]
    assert sorted(e.prompt for e in joined) == sorted(e.prompt for e in examples)
    assert not {e.prompt for e in parts.train} & {e.prompt for e in parts.test}
