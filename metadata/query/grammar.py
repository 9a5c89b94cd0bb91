"""From words to a tree: `or` of `and` of comparisons, with `not` and parentheses."""

from collections.abc import Sequence
from dataclasses import dataclass

from metadata.query.errors import BadFilter
from metadata.query.words import Word, words

MOST_TERMS, DEEPEST, MOST_CHOICES = 200, 50, 500
COMPARISONS = frozenset({"=", "!=", "<", "<=", ">", ">="})


@dataclass(frozen=True)
class Term:
    """A comparison of a field: operator is one of `COMPARISONS`, in, between, like, null."""

    field: Word
    operator: str
    values: tuple[Word, ...]
    is_negated: bool = False


@dataclass(frozen=True)
class Not:
    """The contrary of a part."""

    part: "Tree"


@dataclass(frozen=True)
class All:
    """Parts that must all hold."""

    parts: tuple["Tree", ...]


@dataclass(frozen=True)
class Any:
    """Parts of which one must hold."""

    parts: tuple["Tree", ...]


Tree = Term | Not | All | Any


def parse(text: str) -> Tree:
    """Return the tree of a filter.

    Raises:
        BadFilter: It is no filter; the message says where and what was expected.
    """
    return _Reader(text).read()


class _Reader:
    """Reads words one after the other."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._words: Sequence[Word] = tuple(words(text))
        self._place = self._terms = self._depth = 0

    def read(self) -> Tree:
        tree = self._any()
        if self._next.kind != "end":
            raise self._bad(f"and, or, or the end were expected, got {self._next}.")
        return tree

    @property
    def _next(self) -> Word:
        return self._words[self._place]

    def _take(self) -> Word:
        word = self._next
        self._place += word.kind != "end"
        return word

    def _has(self, value: str) -> bool:
        """Take a keyword or an operator if it is the next word."""
        is_next = self._next.kind in {"keyword", "operator"} and self._next.value == value
        self._place += is_next
        return is_next

    def _any(self) -> Tree:
        parts = [self._all()]
        while self._has("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def _all(self) -> Tree:
        parts = [self._one()]
        while self._has("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _one(self) -> Tree:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._bad(f"parentheses and nots stand at most {DEEPEST} deep. Write it flatter.")
        try:
            if self._has("not"):
                return Not(self._one())
            if self._has("("):
                tree = self._any()
                self._expect(")")
                return tree
            return self._term()
        finally:
            self._depth -= 1

    def _term(self) -> Term:
        self._terms += 1
        if self._terms > MOST_TERMS:
            raise self._bad(f"a filter has at most {MOST_TERMS} comparisons. Use in (...).")
        field = self._next
        if field.kind != "name":
            raise self._bad(f"the name of a field was expected, got {field}.")
        self._take()
        if self._has("is"):
            is_negated = self._has("not")
            self._expect("null")
            return Term(field, "null", (), is_negated)
        is_negated = self._has("not")
        if self._has("in"):
            return Term(field, "in", self._choices(), is_negated)
        if self._has("between"):
            low = self._value()
            self._expect("and")
            return Term(field, "between", (low, self._value()), is_negated)
        if self._has("like"):
            return Term(field, "like", (self._text_value(),), is_negated)
        return self._comparison(field, is_negated=is_negated)

    def _comparison(self, field: Word, *, is_negated: bool) -> Term:
        operator = self._next
        if is_negated or operator.kind != "operator" or operator.value not in COMPARISONS:
            expected = "in, between or like" if is_negated else "= != < <= > >= in between like is"
            raise self._bad(f"after {field.value} {expected} was expected, got {operator}.")
        self._take()
        if self._next.value == "null" and self._next.kind == "keyword":
            raise self._bad(f"nothing equals null. Write {field.value} is null, or is not null.")
        return Term(field, operator.value, (self._value(),))

    def _choices(self) -> tuple[Word, ...]:
        self._expect("(")
        values = [self._value()]
        while self._has(","):
            values.append(self._value())
            if len(values) > MOST_CHOICES:
                raise self._bad(f"in takes at most {MOST_CHOICES} values.")
        self._expect(")")
        return tuple(values)

    def _value(self) -> Word:
        word = self._next
        is_flag = word.kind == "keyword" and word.value in {"true", "false"}
        if word.kind not in {"number", "text"} and not is_flag:
            hint = f" Put {word.value} in quotes if it is a text." if word.kind == "name" else ""
            raise self._bad(f"a value was expected, got {word}.{hint}")
        return self._take()

    def _text_value(self) -> Word:
        if self._next.kind != "text":
            raise self._bad(f"a text in quotes was expected, got {self._next}.")
        return self._take()

    def _expect(self, value: str) -> None:
        if not self._has(value):
            raise self._bad(f"{value} was expected, got {self._next}.")

    def _bad(self, message: str) -> BadFilter:
        return BadFilter(self._text, self._next.position, message)
