"""Preferences as tokens, each pair with what the untrained base thinks of it.

Axes: P pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from metadata.errors import InvalidDataset
from metadata.examples import Example, Preference
from training_worker.data import EncodedSplits, Tokens, encode
from training_worker.ledger import Ledger
from training_worker.model import Base
from training_worker.request import RunRequest
from training_worker.scoring import score, with_completion


@dataclass(frozen=True)
class Pair(Tokens):
    """The two rows of a preference one after the other, their lengths as `parts`.

    `reference` is the log-probability of the chosen completion less that of the rejected one, in
    nats, by the base.
    """

    reference: float = 0.0

    @property
    def chosen(self) -> Tokens:
        """Return the row of the completion that is preferred."""
        return Tokens(self.ids[: self.parts[0]], self.is_completion[: self.parts[0]])

    @property
    def rejected(self) -> Tokens:
        """Return the row of the other completion."""
        return Tokens(self.ids[self.parts[0] :], self.is_completion[self.parts[0] :])


def encode_pairs(
    request: RunRequest, base: Base, ledger: Ledger, *, max_length_tokens: int
) -> EncodedSplits:
    """Return the request's preferences as pairs, with the log-probabilities of the base.

    Each row is cut to a length by itself, and only the last reply of a chat counts: an earlier one
    stands in both rows.

    Raises:
        InvalidDataset: A split is empty, an example is no preference, or one does not go with the
            chat template.
    """
    held_out = request.scoring

    def encode_all(name: str, examples: Sequence[Example]) -> list[Pair]:
        if not examples:
            raise InvalidDataset(f"A run needs at least one {name} example, got none. Add some.")
        pairs = [_encode_pair(one, base.tokenizer, max_length_tokens) for one in examples]
        with ledger.evaluation.running():
            return _with_references(pairs, base, batch_size=held_out.batch_size)

    return EncodedSplits(
        train=[*encode_all("training", request.train)],
        validation=[*encode_all("validation", request.validation[: held_out.validation_examples])],
        test=[*encode_all("test", request.test[: held_out.test_examples])],
    )


def score_pairs(
    model: Any, pairs: Sequence[Pair], tokenizer: Any, *, batch_size: int
) -> torch.Tensor:
    """Return the log-probability of each chosen completion less that of its rejected one, (P,)."""
    rows = [*(pair.chosen for pair in pairs), *(pair.rejected for pair in pairs)]
    nats = score(model, rows, tokenizer, batch_size=batch_size).nats_E
    return nats[len(pairs) :] - nats[: len(pairs)]


def first_rows(examples: Sequence[Tokens]) -> list[Tokens]:
    """Return examples as single rows: of a pair the one that is preferred."""
    return [one.chosen if isinstance(one, Pair) else one for one in examples]


def _encode_pair(example: Example, tokenizer: Any, length: int) -> Pair:
    if not isinstance(example, Preference):
        raise InvalidDataset(
            "DPO learns from preferences; got an example without chosen and rejected. Give both, "
            "or train it supervised."
        )
    chosen = encode(example.chosen, tokenizer, max_length_tokens=length, last_reply=True)
    other = with_completion(example.chosen, example.rejected)
    rejected = encode(other, tokenizer, max_length_tokens=length, last_reply=True)
    return Pair(
        ids=chosen.ids + rejected.ids,
        is_completion=chosen.is_completion + rejected.is_completion,
        parts=(len(chosen.ids), len(rejected.ids)),
    )


def _with_references(pairs: Sequence[Pair], base: Base, *, batch_size: int) -> list[Pair]:
    ratio_P = score_pairs(base.model, pairs, base.tokenizer, batch_size=batch_size).tolist()
    return [replace(pair, reference=one) for pair, one in zip(pairs, ratio_P, strict=True)]
