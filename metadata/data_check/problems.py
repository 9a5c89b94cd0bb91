"""What a check answers: problems one by one, and a summary."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from metadata.records import Count, Record

Severity = Literal["error", "warning"]
Part = Literal["training", "validation"]
Verdict = Literal["clean", "warnings", "errors"]
SHOWN_CHARACTERS = 60  # of what was seen
SHOWN_KEYS = 8  # of an object, in what was seen


@dataclass(frozen=True)
class Seen:
    """What a rule saw, cut short; `column` counts characters from 1 where a place is known."""

    text: str
    column: int | None = None


class Problem(Record):
    """One rule that one line breaks, however many times."""

    part: Part = Field("training", description="the file that the line is of")
    line: int = Field(ge=1, description="counted from 1; the last line for what a file lacks")
    column: int | None = Field(None, description="in characters, counted from 1")
    severity: Severity
    rule: str = Field(description="stable name of the rule")
    message: str = Field(description="what must hold")
    seen: str
    times: int = Field(1, description="how often the line breaks the rule; `seen` is the first")
    fix: str = Field(description="what to do")
    is_repaired: bool = Field(False, description="a repaired copy does not have it any more")


class RuleCount(Record):
    """How many lines break a rule."""

    rule: str
    severity: Severity
    lines: Count


class TokenSummary(Record):
    """How long the examples are for a model."""

    total: Count
    mean: float
    longest: Count
    longest_line: Count
    counted_by: str
    is_estimated: bool
    context_tokens: int | None


class Summary(Record):
    """What a check found, in numbers."""

    verdict: Verdict
    size_bytes: Count
    lines: Count
    examples: Count = Field(description="lines that can be learnt from, repeated ones too")
    validation_examples: Count | None
    forms: Mapping[str, int]
    tokens: TokenSummary
    counts: list[RuleCount]
    repaired: Count = Field(description="problems that a repaired copy does not have any more")
    is_complete: bool = Field(description="false where so much is wrong that reading was ended")
    notes: list[str]


def shown(text: str) -> str:
    """Return a text without what cannot be printed, cut short, however long it is."""
    start = text[: SHOWN_CHARACTERS + 1]
    clean = "".join(c if c.isprintable() else _escaped(c) for c in start)
    is_whole = len(text) <= SHOWN_CHARACTERS and len(clean) <= SHOWN_CHARACTERS
    return clean if is_whole else clean[:SHOWN_CHARACTERS] + "..."


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def excerpt(value: object) -> str:
    """Return a decoded value as a problem shows it: short and printable, whatever its size."""
    if isinstance(value, dict):
        keys = list(value)[:SHOWN_KEYS]
        return f"an object of {len(value)} keys: {shown(', '.join(keys))}" if keys else "{}"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "[]"
    return f'"{shown(value)}"' if isinstance(value, str) else json.dumps(value)
