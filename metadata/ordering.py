"""The order of a list of runs, in stretches that an index can find, and where a page goes on."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, literal, or_, tuple_

from metadata.query import Field, field_of
from metadata.run_rows import RunRow

Place = tuple[Any, str]  # the value and the id of the last run seen


@dataclass(frozen=True)
class Part:
    """A stretch of an order: which runs, and the keys that sort them."""

    where: tuple[ColumnElement[bool], ...]
    keys: tuple[ColumnElement[Any], ...]


@dataclass(frozen=True)
class Order:
    """A field and a direction; equal values are sorted by id, empty ones come last."""

    field: Field
    descending: bool

    @property
    def column(self) -> ColumnElement[Any]:
        """Return what it sorts by."""
        return self.field.sort_column()

    def parts(self, place: Place | None) -> list[Part]:
        """Return the stretches beyond a place (value, id), or all of them.

        Values of a column and its empty ones stand apart, so that an index finds either; both
        databases read them otherwise. What is computed has no index: it is sorted in one go.
        """
        if self.field.is_typed and self.field.can_be_empty:
            empty = Part(self._empty(place), self.keys(RunRow.id.expression))
            is_among_empty = place is not None and place[0] is None
            return [empty] if is_among_empty else [self._valued(place), empty]
        if self.field.is_typed:
            return [Part(self._beyond(place), self.keys(self.column, RunRow.id.expression))]
        keys = self.keys(self.column, RunRow.id.expression)
        return [Part(self._computed_beyond(place), (keys[0].nulls_last(), keys[1]))]

    def keys(self, *columns: ColumnElement[Any]) -> tuple[ColumnElement[Any], ...]:
        """Return what sorts by some columns in this direction."""
        return tuple(column.desc() for column in columns) if self.descending else columns

    def _valued(self, place: Place | None) -> Part:
        keys = self.keys(self.column, RunRow.id.expression)
        return Part((self.column.is_not(None), *self._beyond(place)), keys)

    def _empty(self, place: Place | None) -> tuple[ColumnElement[bool], ...]:
        is_empty = self.column.is_(None)
        if place is None or place[0] is not None:
            return (is_empty,)
        return is_empty, self._further(RunRow.id.expression, place[1])

    def _beyond(self, place: Place | None) -> tuple[ColumnElement[bool], ...]:
        if place is None:
            return ()
        value = literal(place[0], self.column.type)  # typed: SQLAlchemy compares no bare True
        keys = tuple_(self.column, RunRow.id.expression)
        bounds = tuple_(value, literal(place[1], RunRow.id.type))
        return (keys < bounds if self.descending else keys > bounds,)

    def _computed_beyond(self, place: Place | None) -> tuple[ColumnElement[bool], ...]:
        if place is None:
            return ()
        value, run_id = place
        further_id = self._further(RunRow.id.expression, run_id)
        if value is None:
            return (and_(self.column.is_(None), further_id),)
        bound = literal(value, self.column.type)
        equal = and_(self.column == bound, further_id)
        return (or_(self._further(self.column, bound), equal, self.column.is_(None)),)

    def _further(self, column: ColumnElement[Any], bound: Any) -> ColumnElement[bool]:
        further: ColumnElement[bool] = column < bound if self.descending else column > bound
        return further


def order_of(sort: str) -> Order:
    """Return an order by the name of its field; a leading `-` puts the largest first.

    Raises:
        BadFilter: There is no such field.
    """
    found = field_of(sort.removeprefix("-"), param="sort")
    return Order(found, descending=sort.startswith("-"))
