"""Cut a filter into words, each with its place."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from metadata.query.errors import BadFilter

Kind = Literal["name", "keyword", "number", "text", "operator", "end"]
KEYWORDS = frozenset({"and", "or", "not", "in", "between", "like", "is", "null", "true", "false"})
LONGEST = 4_000  # characters of a filter
_WORD = re.compile(
    r"""(?P<space>\s+)
    |(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    |(?P<name>[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*)
    |(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    |(?P<operator><=|>=|!=|<>|==|[=<>(),])""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Word:
    """A word of a filter; `position` counts characters from 1."""

    kind: Kind
    value: str
    position: int

    def __str__(self) -> str:
        """Return the word as an error shows it."""
        return "the end" if self.kind == "end" else repr(self.value[:40])


def words(text: str) -> Iterator[Word]:
    """Yield the words of a filter, an `end` last.

    Raises:
        BadFilter: It is too long, or a character belongs to no word.
    """
    if len(text) > LONGEST:
        raise BadFilter(text, LONGEST, f"a filter has at most {LONGEST:,} characters. Shorten it.")
    place = 0
    while place < len(text):
        found = _WORD.match(text, place)
        if found is None:
            raise BadFilter(text, place + 1, _why_not(text[place]))
        kind = found.lastgroup
        if kind != "space":
            yield _word(str(kind), found[0], place + 1)
        place = found.end()
    yield Word("end", "", len(text) + 1)


def _word(kind: str, value: str, position: int) -> Word:
    if kind == "name" and value.lower() in KEYWORDS:
        return Word("keyword", value.lower(), position)
    if kind == "text":
        mark = value[0]
        return Word("text", value[1:-1].replace(mark * 2, mark), position)
    if kind == "operator":
        return Word("operator", {"<>": "!=", "==": "="}.get(value, value), position)
    return Word("number" if kind == "number" else "name", value, position)


def _why_not(character: str) -> str:
    if character in "'\"":
        return f"a text begins with {character} and does not end. Close it."
    return (
        f"{character!r} begins no word. Write names, numbers, texts in quotes, "
        "= != < <= > >=, and ( ) ,"
    )
