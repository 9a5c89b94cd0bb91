"""Choices and roundings for formulas that take one number, or an array of numbers for many.

A formula that uses these in place of `if`, `min` or `ceil` costs one configuration, or thousands at
once, by the same code. Annotations name the number: an array of numbers stands wherever a number
does, and its arithmetic is in float64, exact below 2^53. Of one number the answer is Python's own.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from math import ceil
from typing import Any, TypeVar, cast

import numpy as np

T = TypeVar("T")
Number = TypeVar("Number", int, float)


def is_column(value: object) -> bool:
    """Say whether a value stands for many."""
    return isinstance(value, np.ndarray)


def where(condition: object, first: T, second: T) -> T:
    """Return the first where the condition holds, else the second."""
    if isinstance(condition, np.ndarray):
        return cast("T", np.where(cast("Any", condition), cast("Any", first), cast("Any", second)))
    return first if condition else second


def where_each(condition: object, first: T, second: T) -> T:
    """Return the first of two like dataclasses where the condition holds, else the second."""
    if not isinstance(condition, np.ndarray):
        return first if condition else second
    names = [field.name for field in fields(cast("Any", first))]
    chosen = {name: where(condition, getattr(first, name), getattr(second, name)) for name in names}
    return type(first)(**chosen)


def pick(choice: object, options: Mapping[str, T]) -> T:
    """Return the option of the name that was chosen."""
    if not isinstance(choice, np.ndarray):
        return options[str(choice)]
    *others, last = options.items()
    found = last[1]
    for name, option in others:
        found = where(choice == name, option, found)
    return found


def for_each(function: Callable[[float], T], value: float) -> T:
    """Return what a function without columns says of a number, asked once for each distinct one.

    Of a column it is an array whose last axis is the column's.
    """
    if not isinstance(value, np.ndarray):
        return function(value)
    distinct, places = np.unique(cast("Any", value), return_inverse=True)
    answers = np.array([function(one) for one in distinct.tolist()], dtype=np.float64)
    return cast("T", answers[places].T)


def any_of(condition: object) -> bool:
    """Say whether a condition holds anywhere."""
    return bool(condition.any()) if isinstance(condition, np.ndarray) else bool(condition)


def least(first: Number, second: Number) -> Number:
    """Return the smaller of two."""
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        return cast("Number", np.minimum(first, second))
    return min(first, second)


def greatest(first: Number, *others: Number) -> Number:
    """Return the largest."""
    for other in others:
        if isinstance(first, np.ndarray) or isinstance(other, np.ndarray):
            first = cast("Number", np.maximum(first, other))
        else:
            first = max(first, other)
    return first


def truncated(value: float) -> int:
    """Return a number without what follows its point."""
    return cast("int", np.trunc(value)) if isinstance(value, np.ndarray) else int(value)


def rounded(value: float) -> int:
    """Return the nearest whole number, the even one of two."""
    return cast("int", np.rint(value)) if isinstance(value, np.ndarray) else round(value)


def rounded_up(value: float) -> int:
    """Return the smallest whole number that is not below."""
    return cast("int", np.ceil(value)) if isinstance(value, np.ndarray) else ceil(value)


def power_of_two_within(value: int) -> int:
    """Return the largest power of two up to a number of at least 1."""
    if not isinstance(value, np.ndarray):
        return 1 << (value.bit_length() - 1)
    _, exponent = np.frexp(value)
    return cast("int", np.ldexp(0.5, exponent))
