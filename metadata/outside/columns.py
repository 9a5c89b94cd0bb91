"""Columns of another make's table as features.

Numbers that spread over orders of magnitude become logarithms, each is brought to unit spread, and
text becomes a column a value. All of that is decided without looking at a score.

Axes: M runs, P tasks, F features.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from metadata.arrays import Floats
from metadata.outside.reading import Column

WIDE = 100.0  # times from the least to the most: past it, a positive number is a logarithm
MOST_TEXTS = 64  # values of a text that get a column; the rarer ones share none


def features_of(columns: Sequence[Column]) -> tuple[tuple[str, ...], Floats]:
    """Return names and values, M x F, of columns; nothing is empty."""
    named = [one for column in columns for one in _features(column)]
    if not named:
        return (), np.empty((0, 0))
    return tuple(name for name, _ in named), np.stack([values for _, values in named], axis=1)


def _features(column: Column) -> Iterator[tuple[str, Floats]]:
    if column.texts_M is not None:
        yield from _indicators(column.name, column.texts_M)
        return
    known_M = np.isfinite(column.number_M)
    if not known_M.any():
        return
    values_M = _scaled(column.number_M, column.number_M[known_M])
    yield column.name, np.where(known_M, values_M, np.median(values_M[known_M]))
    if not known_M.all():
        yield f"{column.name}: given", known_M.astype(np.float64)


def _scaled(values: Floats, known: Floats) -> Floats:
    is_wide = known.min() > 0 and known.max() >= WIDE * known.min()
    if is_wide:
        values, known = np.log2(values), np.log2(known)
    spread = float(known.std())
    scaled: Floats = values / spread if spread > 0 else np.zeros_like(values)
    return scaled


def _indicators(name: str, texts_M: Sequence[str | None]) -> Iterator[tuple[str, Floats]]:
    filled_M = np.array(["" if text is None else text for text in texts_M], dtype=object)
    texts, counts = np.unique(filled_M, return_counts=True)
    for place in np.argsort(-counts, kind="stable")[:MOST_TEXTS]:
        yield f"{name}: {texts[place]}", (filled_M == texts[place]).astype(np.float64)
