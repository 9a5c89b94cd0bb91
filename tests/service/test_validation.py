import json
from typing import Any

import pytest

from metadata.errors import InvalidRequest
from service.validation import MAX_DEPTH, describe_errors, read_strictly


@pytest.mark.parametrize(
    "value", [None, True, 0, -(10**17), 1.5, "text", "\U0001f600", [], {"a": [1, {"b": "c"}]}]
)
def test_plain_json_is_read_as_it_is(value: Any) -> None:
    assert read_strictly(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b"{", "must be JSON"),
        (b"{'a': 1}", "line 1, column 2"),
        (b"\xff", "UTF-8"),
        (b'{"a": NaN}', "finite, got NaN"),
        (b'{"a": -Infinity}', "finite, got -Infinity"),
        (b'{"a": 1e999}', "finite, got 1e999"),
        (b'{"a": 1' + b"0" * 18 + b"}", "at most 18 digits"),
        (b'{"a": 1' + b"0" * 9999 + b"}", "at most 18 digits"),
        (b'"\\u0000"', "without NUL"),
        (b'{"a\\u0000": 1}', "without NUL"),
        (b'"\\ud800"', "whole Unicode"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), f"at most {MAX_DEPTH} levels"),
        (b"[" * 100_000, "at most 64 levels"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "at most 64 levels"),
    ],
    ids=lambda value: value[:20] if isinstance(value, bytes) else None,
)
def test_what_json_should_not_hold_is_refused_with_the_rule(body: bytes, rule: str) -> None:
    with pytest.raises(InvalidRequest, match=rule) as caught:
        read_strictly(body)

    assert len(str(caught.value)) < 400


def test_the_deepest_json_allowed_passes() -> None:
    body = b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1)

    assert read_strictly(body) is not None


def test_errors_become_sentences_with_field_rule_and_value() -> None:
    errors = [
        {"type": "less_than_equal", "loc": ("body", "count"), "msg": "Too large", "input": 51},
        {"type": "missing", "loc": ("body", "data", 3, "prompt"), "msg": "Field required"},
        {"type": "extra_forbidden", "loc": ("body", "x"), "msg": "Extra inputs", "input": 1},
    ]

    message, param = describe_errors(errors)

    assert message.startswith("`count`: Too large, got 51. `data[3].prompt` is missing. `x` is not")
    assert param == "count"


def test_a_long_value_and_many_errors_are_shortened() -> None:
    error = {"type": "x", "loc": ("body", "a"), "msg": "Wrong", "input": "y" * 10_000}

    message, _ = describe_errors([error] * 1000)

    assert len(message) < 1000
    assert "995 more fields are wrong." in message
