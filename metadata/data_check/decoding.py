"""Decode one line of JSON and keep what is odd about it instead of stopping there."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from metadata.data_check.problems import Seen, shown

MAX_DEPTH = 64  # levels; no form of an example has more than 5
INTEGER_DIGITS = 18  # what 64 bits hold for sure
MENDED_CHARACTERS = 2**20  # of a line whose trailing commas are looked for
SHOWN_DIGITS = 40  # of a number out of range
NEAR_CHARACTERS = 40  # shown of a broken line, from shortly before the place
# A comma before a closing bracket or the end; texts are matched whole, so that none is inside one.
_COMMA = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+\\?(?:"|\Z)|(,)(?=\s*(?:[}\]]|\Z))', re.DOTALL)


@dataclass(frozen=True)
class Decoded:
    """The value of a line, and what was met on the way to it."""

    value: object = None
    broken: Seen | None = None
    too_deep: Seen | None = None
    comma: Seen | None = None  # one too many, without which the line is good
    mended: str | None = None  # the line without such commas
    numbers: tuple[str, ...] = ()  # out of range
    keys: tuple[str, ...] = ()  # that stand twice in one object


class Decoder:
    """Decodes lines, one after the other; not for several threads at once."""

    def __init__(self) -> None:
        """Set up the library's decoder, with hooks for what is odd."""
        self._numbers: list[str] = []
        self._keys: list[str] = []
        self._decode = json.JSONDecoder(
            parse_constant=self._odd_number,
            parse_float=self._real,
            parse_int=self._integer,
            object_pairs_hook=self._pairs,
        ).decode

    def decode(self, text: str) -> Decoded:
        """Return what one line of JSON holds; trailing commas are passed over."""
        start = len(text) - len(text.lstrip())
        found = self._read(text.strip(), start)
        if found.broken is None or len(text) > MENDED_CHARACTERS:
            return found
        comma = next((match for match in _COMMA.finditer(text) if match[1]), None)
        if comma is None:
            return found
        mended = _COMMA.sub(lambda match: "" if match[1] else match[0], text)
        again = self._read(mended.strip(), start)
        if again.broken is not None:
            return found
        place = Seen(_near(text, comma.start()), comma.start() + 1)
        return replace(again, comma=place, mended=mended)

    def _read(self, text: str, start: int) -> Decoded:
        self._numbers, self._keys = [], []
        try:
            value = self._decode(text)
        except json.JSONDecodeError as error:
            place = f"{error.msg} at {_near(text, error.pos)}"
            return Decoded(broken=Seen(place, start + error.pos + 1))
        except RecursionError:
            return Decoded(too_deep=Seen(f"more levels than can be read, in {shown(text)}"))
        if text.count("{") + text.count("[") > MAX_DEPTH and _is_deep(value):
            return Decoded(too_deep=Seen(f"over {MAX_DEPTH} levels, in {shown(text)}"))
        return Decoded(value, numbers=tuple(self._numbers), keys=tuple(self._keys))

    def _pairs(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            counts = Counter(key for key, _ in pairs)
            self._keys += [key for key, count in counts.items() if count > 1]
        return found

    def _integer(self, text: str) -> float:
        if len(text.lstrip("-")) <= INTEGER_DIGITS:
            return int(text)
        return self._odd_number(text)

    def _real(self, text: str) -> float:
        value = float(text)
        return value if math.isfinite(value) else self._odd_number(text)

    def _odd_number(self, text: str) -> float:
        self._numbers.append(text[:SHOWN_DIGITS])
        return math.nan


def strings(value: object) -> Iterator[str]:
    """Yield every text in a value, keys too; the value is not deeper than `MAX_DEPTH`."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, child in value.items():
            yield key
            yield from strings(child)
    elif isinstance(value, list):
        for child in value:
            yield from strings(child)


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return False
    return True


def _children(value: object) -> Iterator[object]:
    if isinstance(value, dict | list):
        children = value.values() if isinstance(value, dict) else value
        yield from (child for child in children if isinstance(child, dict | list))


def _near(text: str, position: int) -> str:
    start = max(0, position - NEAR_CHARACTERS // 4)
    return shown(text[start : start + NEAR_CHARACTERS]) or "the end of the line"
