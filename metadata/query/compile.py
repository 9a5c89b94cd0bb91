"""From the tree of a filter to SQL, each value checked against the kind of its field.

As in SQL, a comparison with an empty value holds never, nor does its contrary: ask `is null`.
`like` takes % for any characters and _ for one, and does not tell capitals from small letters.
A comparison with `tags` holds where it holds of one of them; `!=` and `not` where of none.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from math import isfinite
from typing import Any as AnyValue

from sqlalchemy import ColumnElement, and_, literal, not_, or_, select

from metadata.notes import TagRow
from metadata.query.errors import BadFilter
from metadata.query.fields import Field, Kind, find_field, near_names
from metadata.query.grammar import All, Any, Not, Term, Tree, parse
from metadata.query.words import Word
from metadata.run_rows import HAS_REASON, RunRow

_KINDS: Mapping[str, Kind] = {"number": "number", "text": "text", "keyword": "flag"}
_ESCAPE = "\\"
_COMPARE: Mapping[str, Callable[[AnyValue, AnyValue], ColumnElement[bool]]] = {
    "=": lambda column, value: column == value,
    "!=": lambda column, value: column != value,
    "<": lambda column, value: column < value,
    "<=": lambda column, value: column <= value,
    ">": lambda column, value: column > value,
    ">=": lambda column, value: column >= value,
}
LARGEST = 2**63 - 1  # that a column of whole numbers holds


def compile_filter(text: str) -> ColumnElement[bool]:
    """Return a filter as SQL over `RunRow`.

    Raises:
        BadFilter: It is no filter, names an unknown field, or compares what cannot be compared.
    """
    return _compile(parse(text), text)


def named_fields(text: str) -> set[str]:
    """Return the names of the fields that a filter compares.

    Raises:
        BadFilter: It is no filter.
    """
    return _names(parse(text))


def _names(tree: Tree) -> set[str]:
    match tree:
        case Term():
            return {tree.field.value}
        case Not(part):
            return _names(part)
        case All(parts) | Any(parts):
            return {name for part in parts for name in _names(part)}


def field_of(name: str, *, param: str) -> Field:
    """Return the field of a name that stands alone.

    Raises:
        BadFilter: There is none.
    """
    found = find_field(name)
    if found is None:
        raise BadFilter(name, 1, _unknown(name), param=param)
    return found


def _compile(tree: Tree, text: str) -> ColumnElement[bool]:
    match tree:
        case Term():
            return _Comparison(tree, text).sql()
        case Not(part):
            return not_(_compile(part, text))
        case All(parts):
            return and_(*(_compile(part, text) for part in parts))
        case Any(parts):
            return or_(*(_compile(part, text) for part in parts))


class _Comparison:
    """One comparison, its field found and its values read."""

    def __init__(self, term: Term, text: str) -> None:
        self._term, self._text = term, text
        found = find_field(term.field.value)
        if found is None:
            raise BadFilter(text, term.field.position, _unknown(term.field.value))
        self._field = found
        self._kind = self._kind_of_values()

    def sql(self) -> ColumnElement[bool]:
        if self._field.kind == "tags":
            return self._of_tags()
        term = self._term
        column = self._field.column(self._kind)
        if term.operator == "null":
            column = self._field.column("any" if self._field.kind == "any" else None)
            return column.is_not(None) if term.is_negated else column.is_(None)
        found = self._positive(column, term)
        return not_(found) if term.is_negated else found

    def _of_tags(self) -> ColumnElement[bool]:
        term = self._term
        of_none = term.is_negated or term.operator == "!="
        tagged = select(TagRow.run_id)
        if term.operator == "null":
            of_none = not term.is_negated
        else:
            plain = replace(term, is_negated=False)
            if term.operator == "!=":
                plain = replace(plain, operator="=")
            tagged = tagged.where(self._positive(TagRow.tag.expression, plain))
        return RunRow.id.not_in(tagged) if of_none else RunRow.id.in_(tagged)

    def _positive(self, column: ColumnElement[AnyValue], term: Term) -> ColumnElement[bool]:
        values = [self._read(word) for word in term.values]
        if term.operator == "in":
            return column.in_(values)
        if term.operator == "between":
            return column.between(*values)
        if term.operator == "like":
            return self._like(column)
        if self._kind == "flag" and term.operator not in {"=", "!="}:
            raise self._bad(term.field, f"{self._field.name} is true or false: use = or !=.")
        return _COMPARE[term.operator](column, values[0])

    def _like(self, column: ColumnElement[AnyValue]) -> ColumnElement[bool]:
        if self._kind not in {"text", "tags"}:
            raise self._bad(self._term.field, f"like compares texts, {self._field.name} is none.")
        pattern = self._plain(self._term.values[0])
        found = column.ilike(pattern, escape=_ESCAPE)
        if self._field.name == "reason" and pattern.strip("%"):  # what an index of reasons finds
            return and_(HAS_REASON, found)
        return found

    def _kind_of_values(self) -> Kind:
        """Return what is compared: what the field is, or what the values are where it is open."""
        if self._field.kind != "any":
            return self._field.kind
        kinds = {_KINDS[word.kind] for word in self._term.values}
        if len(kinds) > 1:
            raise self._bad(self._term.values[1], "all values must be of one kind.")
        return kinds.pop() if kinds else "text"

    def _read(self, word: Word) -> AnyValue:
        kind = self._kind
        if kind == "moment" and word.kind == "text":
            return literal(self._moment(word), self._field.column().type)
        if _KINDS[word.kind] != ("text" if kind == "tags" else kind):
            wanted = {
                "number": "a number",
                "text": "a text in quotes",
                "tags": "a text in quotes",
                "flag": "true or false",
                "moment": "a time in quotes, such as '2026-01-31'",
            }[kind]
            raise self._bad(word, f"{self._field.name} is compared with {wanted}, got {word}.")
        if kind == "flag":
            return word.value == "true"
        return self._number(word) if kind == "number" else self._plain(word)

    def _number(self, word: Word) -> float:
        value = float(word.value)
        if not isfinite(value) or abs(value) > LARGEST:
            raise self._bad(word, f"a number is at most {LARGEST:.3g}, got {word}.")
        return int(word.value) if word.value.lstrip("+-").isdigit() else value

    def _plain(self, word: Word) -> str:
        if "\0" in word.value or any("\ud800" <= letter <= "\udfff" for letter in word.value):
            raise self._bad(word, "a text holds no NUL and no half surrogate pair. Take it out.")
        return word.value

    def _moment(self, word: Word) -> datetime:
        try:
            moment = datetime.fromisoformat(word.value)
        except ValueError:
            raise self._bad(
                word, f"a time reads 2026-01-31 or 2026-01-31T12:00:00Z, got {word}."
            ) from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def _bad(self, word: Word, message: str) -> BadFilter:
        return BadFilter(self._text, word.position, message)


def _unknown(name: str) -> str:
    near = near_names(name)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"there is no field {name[:60]!r}.{hint} GET /v1/runs/fields lists them."
