"""The knobs of configurations: every value that a person may turn, by the name a filter has for it.

Axes: N runs, K knobs, T runs that were left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from metadata.arrays import Floats, Integers

BLOCKS = ("configuration.method.", "configuration.optimizer.", "configuration.schedule.")
# What every optimizer and schedule has, whichever it is.
_OF_ALL = frozenset(
    {
        "configuration.optimizer.learning_rate",
        "configuration.optimizer.weight_decay",
        "configuration.schedule.warmup_fraction",
    }
)
NOT_KNOBS = frozenset({"configuration.seed"})


def knob_values(configuration: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every value of a configuration by the name that a filter has for it."""
    for name, value in configuration.items():
        path = f"configuration.{name}"
        if isinstance(value, Mapping):
            yield from ((f"{path}.{inner}", one) for inner, one in value.items())
        elif path not in NOT_KNOBS:
            yield path, value


def encoded(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], Floats, list[int]]:
    """Return the knobs that vary, their values as numbers, and which of them are categories."""
    names = sorted({name for row in rows for name in row})
    kept: list[str] = []
    columns: list[list[float]] = []
    categories: list[int] = []
    for name in names:
        values = [row.get(name) for row in rows]
        known = {value for value in values if value is not None}
        if len({repr(value) for value in values}) < 2:
            continue
        if any(isinstance(value, str) for value in known):
            codes = {text: code for code, text in enumerate(sorted(map(str, known)))}
            categories.append(len(kept))
            column = [np.nan if value is None else codes[str(value)] for value in values]
        else:
            column = [np.nan if value is None else float(value) for value in values]
        kept.append(name)
        columns.append(column)
    return kept, np.array(columns, dtype=np.float64).reshape(len(kept), len(rows)).T, categories


def moved_with(knob: str, names: Sequence[str]) -> set[str]:
    """Return what is shuffled with a knob: an entry's own values with the entry's name."""
    for block in BLOCKS:
        if knob == f"{block}name":
            return {one for one in names if one.startswith(block)} - _OF_ALL
    return {knob}


def alike(X_TK: Floats, knob: str, names: Sequence[str]) -> list[Integers]:
    """Return the rows among which a knob is shuffled: those of one entry, where it is an entry's.

    Of learning rate, weight decay and warm-up every entry has one: they go among all.
    """
    every = np.arange(len(X_TK))
    for block in BLOCKS:
        name = f"{block}name"
        if knob.startswith(block) and knob != name and knob not in _OF_ALL and name in names:
            entries_T = X_TK[:, list(names).index(name)]
            return [every[entries_T == entry] for entry in np.unique(entries_T)]
    return [every]
