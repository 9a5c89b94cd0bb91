"""The kinds of value a table entry can leave open, shared by methods, optimizers, schedules.

Values are one configuration's, or columns of many (`metadata.elementwise`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from metadata.elementwise import is_column, truncated
from metadata.records import Scalar

Values = Mapping[str, Scalar]


@dataclass(frozen=True, kw_only=True)
class Integer:
    """A whole number in [lower, upper]."""

    name: str
    lower: int
    upper: int
    default: int
    log: bool = False


@dataclass(frozen=True, kw_only=True)
class Float:
    """A real number in [lower, upper]."""

    name: str
    lower: float
    upper: float
    default: float
    log: bool = False


@dataclass(frozen=True, kw_only=True)
class Categorical:
    """One of a few values, the default first."""

    name: str
    choices: tuple[Scalar, ...]

    @property
    def default(self) -> Scalar:
        """Return the first choice."""
        return self.choices[0]


Parameter = Integer | Float | Categorical


def number(values: Values, name: str) -> float:
    """Return a numeric value by its name."""
    value = values[name]
    assert isinstance(value, int | float) or is_column(value), f"{name} is not a number: {value!r}"
    return cast("float", value)


def whole(values: Values, name: str) -> int:
    """Return a numeric value by its name as a whole number."""
    return truncated(number(values, name))


def defaults(parameters: tuple[Parameter, ...]) -> dict[str, Scalar]:
    """Return each parameter's default by its name."""
    return {parameter.name: parameter.default for parameter in parameters}
