"""The names that a filter, a sort and a list of fields may use.

A typed column goes by its name; anything else of a run by its path: `configuration.method.r`,
`task.dataset.compression_ratio`, `scores.forgotten`, `costs.train_cpu_seconds`, `versions.torch`.
What people say of it goes by `note`, `tags` and `archived`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    DateTime,
    Double,
    Integer,
    String,
    case,
    func,
    literal,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from metadata.notes import NoteRow, TagRow, is_archived
from metadata.records import Run
from metadata.run_rows import FIGURES, JSON_PARTS, RunRow

Kind = Literal["number", "text", "flag", "moment", "tags", "any"]
ARCHIVED = "archived"
OPEN = ("configuration.method.", "configuration.optimizer.", "configuration.schedule.", "versions.")
MOST_PARTS, NEAR = 6, 3


_READERS: Mapping[str, Callable[[Any], ColumnElement[Any]]] = {
    "number": lambda place: place.as_float(),
    "flag": lambda place: place.as_boolean(),
    "text": lambda place: place.as_string(),
}
_TYPES: Mapping[str, tuple[str, ...]] = {  # what SQLite and PostgreSQL call them
    "number": ("integer", "real", "number"),
    "flag": ("true", "false", "boolean"),
    "text": ("text", "string"),
}


class JsonKind(FunctionElement[str]):
    """What kind of value stands at a path of a JSON column, in the database's own word."""

    inherit_cache = True
    type = String()
    name = "json_kind"

    def __init__(self, column: Any, path: list[str]) -> None:
        """Look at a path, each part a key."""
        keys = ",".join(path)
        super().__init__(column, literal("$." + ".".join(path)), literal(f"{{{keys}}}"))


@compiles(JsonKind, "sqlite")
def _on_sqlite(element: JsonKind, compiler: Any, **options: Any) -> str:
    column, path, _ = element.clauses
    return f"json_type({compiler.process(column)}, {compiler.process(path)})"


@compiles(JsonKind, "postgresql")
def _on_postgresql(element: JsonKind, compiler: Any, **options: Any) -> str:
    column, _, path = element.clauses
    return f"json_typeof({compiler.process(column)} #> CAST({compiler.process(path)} AS text[]))"


def _note() -> ColumnElement[Any]:
    text = select(NoteRow.text).where(NoteRow.run_id == RunRow.id, NoteRow.text != "")
    return text.scalar_subquery()


def _first_tag() -> ColumnElement[Any]:
    return select(func.min(TagRow.tag)).where(TagRow.run_id == RunRow.id).scalar_subquery()


# What people say of a run stands beside it: the kind, and what it is compared or sorted by.
_SAID: Mapping[str, tuple[Kind, Callable[[], ColumnElement[Any]]]] = {
    "note": ("text", _note),
    "tags": ("tags", _first_tag),
    ARCHIVED: ("flag", is_archived),
}


@dataclass(frozen=True)
class Field:
    """A value of a run: a typed column, a path into a JSON column, or what people say of it."""

    name: str
    kind: Kind

    @property
    def is_typed(self) -> bool:
        """Say whether it is a column of its own, which is quick to search."""
        return self.name in FIGURES

    @property
    def is_said(self) -> bool:
        """Say whether it stands beside the run: a note, tags, whether it is archived."""
        return self.name in _SAID

    @property
    def can_be_empty(self) -> bool:
        """Say whether some run may lack it."""
        if self.is_typed:
            return bool(RunRow.__table__.columns[self.name].nullable)
        return self.name != ARCHIVED

    def column(self, kind: Kind | None = None) -> ColumnElement[Any]:
        """Return it as SQL of a kind: its own, or where that is `any` the one asked for.

        A value of another kind in such an open place counts as empty.
        """
        if self.is_typed:
            attribute: InstrumentedAttribute[Any] = getattr(RunRow, self.name)
            return attribute.expression
        if self.is_said:
            return _SAID[self.name][1]()
        part, *path = self.name.split(".")
        place = getattr(RunRow, part)[tuple(path)]
        wanted = self._wanted(kind)
        found: ColumnElement[Any] = _READERS[wanted](place)
        if self.kind != "any" or kind == "any":
            return found
        return case((JsonKind(getattr(RunRow, part), path).in_(_TYPES[wanted]), found))

    def _wanted(self, kind: Kind | None) -> Kind:
        if self.kind != "any":
            return self.kind
        return "number" if kind is None else "text" if kind == "any" else kind

    def sort_column(self) -> ColumnElement[Any]:
        """Return what it is sorted by: open values as numbers, versions as texts."""
        return self.column("text" if self.name.startswith("versions.") else "number")


def find_field(name: str) -> Field | None:
    """Return the field of a name, None where there is none."""
    known = known_fields()
    if name in known:
        return known[name]
    is_open = name.startswith(OPEN) and len(name.split(".")) <= MOST_PARTS
    return Field(name, "any") if is_open and all(name.split(".")) else None


def near_names(name: str) -> list[str]:
    """Return known names that look like one that is not known."""
    known = known_fields()
    last = name.rpartition(".")[2]
    ends = [one for one in known if one.rpartition(".")[2] == last]
    return (ends or get_close_matches(name, known, n=NEAR))[:NEAR]


@cache
def known_fields() -> Mapping[str, Field]:
    """Return every field whose name is fixed; values of methods and versions come beside them."""
    found = {name: Field(name, _kind_of_column(name)) for name in FIGURES}
    for part in JSON_PARTS:
        annotation = Run.model_fields[part].annotation
        for path, kind in _leaves(annotation, part):
            found.setdefault(path, Field(path, kind))
    return found | {name: Field(name, kind) for name, (kind, _) in _SAID.items()}


def _kind_of_column(name: str) -> Kind:
    kind = RunRow.__table__.columns[name].type
    inner = kind.impl_instance if isinstance(kind, TypeDecorator) else kind
    if isinstance(inner, Boolean):
        return "flag"
    if isinstance(inner, Integer | BigInteger | Double):
        return "number"
    return "moment" if isinstance(inner, DateTime) else "text"


def _leaves(annotation: Any, path: str) -> list[tuple[str, Kind]]:
    """Return the plain values under a record, by path."""
    model = _record(annotation)
    if model is None:
        kind = _kind_of(annotation)
        return [] if kind is None else [(path, kind)]
    return [
        leaf
        for name, field in model.model_fields.items()
        for leaf in _leaves(field.annotation, f"{path}.{name}")
    ]


def _record(annotation: Any) -> type[BaseModel] | None:
    for part in (annotation, *get_args(annotation)):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
    return None


def _kind_of(annotation: Any) -> Kind | None:
    parts = get_args(annotation) if get_origin(annotation) is not None else (annotation,)
    plain = {type(part) if not isinstance(part, type) else part for part in parts}
    plain |= {inner for part in parts for inner in get_args(part) if isinstance(inner, type)}
    if bool in plain:
        return "flag"
    if plain & {int, float}:
        return "number"
    return "text" if str in plain else None
