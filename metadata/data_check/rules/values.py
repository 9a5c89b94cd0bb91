"""Rules about JSON: broken, too deep, numbers that nobody can read, keys that stand twice."""

import re
from collections.abc import Iterator

from metadata.data_check.decoding import INTEGER_DIGITS, MAX_DEPTH, strings
from metadata.data_check.lines import Line
from metadata.data_check.problems import Seen, excerpt, shown
from metadata.data_check.rules.spec import LineRule

_HALF = re.compile("[\ud800-\udfff]")


def _broken(line: Line) -> Iterator[Seen]:
    if line.decoded.broken is not None:
        yield line.decoded.broken


def _comma(line: Line) -> Iterator[Seen]:
    if line.decoded.comma is not None:
        yield line.decoded.comma


def _deep(line: Line) -> Iterator[Seen]:
    if line.decoded.too_deep is not None:
        yield line.decoded.too_deep


def _numbers(line: Line) -> Iterator[Seen]:
    yield from (Seen(shown(number)) for number in line.decoded.numbers)


def _keys(line: Line) -> Iterator[Seen]:
    yield from (Seen(f'"{shown(key)}" again') for key in line.decoded.keys)


def _half_pairs(line: Line) -> Iterator[Seen]:
    if "\\ud" not in (line.text or "").lower():
        return
    for text in strings(line.decoded.value):
        half = _HALF.search(text)
        if half is not None:
            around = text[max(0, half.start() - 10) : half.start() + 30]
            yield Seen(f"\\u{ord(half[0]):04x} in {shown(around)}")


def _escaped_nul(line: Line) -> Iterator[Seen]:
    if "\\u0000" not in (line.text or ""):
        return
    for text in strings(line.decoded.value):
        place = text.find("\0")
        if place >= 0:
            near = text[max(0, place - 10) : place + 30].replace("\0", "\\u0000")
            yield Seen(shown(near))


def _no_object(line: Line) -> Iterator[Seen]:
    if not isinstance(line.decoded.value, dict):
        yield Seen(excerpt(line.decoded.value))


VALUE_RULES = (
    LineRule(
        name="broken-json",
        severity="error",
        needs="text",
        must="Each line is one whole JSON object.",
        fix="Mend the line at the column named, or remove it. A file that is one JSON array must "
        "be written as one object per line.",
        find=_broken,
    ),
    LineRule(
        name="trailing-comma",
        severity="error",
        needs="text",
        must="JSON has no comma before a closing bracket or at the end of a line.",
        fix="Remove the comma; --fix does.",
        find=_comma,
        repair="rewrite",
    ),
    LineRule(
        name="too-deep",
        severity="error",
        needs="text",
        must=f"A line nests at most {MAX_DEPTH} levels.",
        fix="Write the example flat, as messages, prompt and completion, or text.",
        find=_deep,
    ),
    LineRule(
        name="number-range",
        severity="error",
        needs="value",
        must=f"Numbers are finite and have at most {INTEGER_DIGITS} digits; NaN is not JSON.",
        fix="Leave the number out, or write it as text in quotes.",
        find=_numbers,
    ),
    LineRule(
        name="repeated-key",
        severity="error",
        needs="value",
        must="A key stands once in an object; of several only the last would be read.",
        fix="Remove or rename all but one.",
        find=_keys,
    ),
    LineRule(
        name="lone-surrogate",
        severity="error",
        needs="value",
        must="Text has no half of a surrogate pair (\\ud800 to \\udfff).",
        fix="Remove the escape, or write the whole character.",
        find=_half_pairs,
    ),
    LineRule(
        name="nul-character",
        severity="warning",
        needs="value",
        must="Text has no NUL characters, which are rarely meant.",
        fix="Remove \\u0000 from the text.",
        find=_escaped_nul,
    ),
    LineRule(
        name="not-object",
        severity="error",
        needs="value",
        must="An example is a JSON object.",
        fix='Write {"prompt": ..., "completion": ...}, {"messages": [...]} or {"text": ...}; one '
        "line is one example, not an array of them.",
        find=_no_object,
    ),
)
