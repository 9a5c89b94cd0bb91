"""Pack the examples of a step into as few rows as hold them, without cutting any."""

from collections.abc import Sequence
from itertools import chain

from training_worker.data import Tokens


def pack(examples: Sequence[Tokens], *, length: int) -> list[Tokens]:
    """Return rows of at most `length` tokens, each of one example or more.

    The longest example goes first, each into the first row with room for it: at most 11/9 of the
    fewest rows, and one more (Johnson, 1973). An example of more than `length` has its own row.
    """
    rows: list[list[Tokens]] = []
    for example in sorted(examples, key=lambda one: len(one.ids), reverse=True):
        room = (row for row in rows if _tokens(row) + len(example.ids) <= length)
        row = next(room, None)
        if row is None:
            rows.append([example])
        else:
            row.append(example)
    return [_joined(row) for row in rows]


def _tokens(row: Sequence[Tokens]) -> int:
    return sum(len(example.ids) for example in row)


def _joined(row: Sequence[Tokens]) -> Tokens:
    return Tokens(
        ids=tuple(chain.from_iterable(example.ids for example in row)),
        is_completion=tuple(chain.from_iterable(example.is_completion for example in row)),
        parts=tuple(len(example.ids) for example in row),
    )
