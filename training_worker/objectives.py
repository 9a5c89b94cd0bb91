"""How each objective is trained: data as tokens, what learns, and who judges it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from metadata.errors import InvalidDataset
from metadata.examples import Preference
from metadata.records import Objective
from training_worker.data import EncodedSplits, encode_splits
from training_worker.dpo import PreferenceJudge, PreferenceLearner
from training_worker.ledger import Ledger
from training_worker.model import Base
from training_worker.pairs import encode_pairs
from training_worker.request import RunRequest
from training_worker.scoring import Judge
from training_worker.steps import Learner


@dataclass(frozen=True, kw_only=True)
class Training:
    """The parts of a run that depend on its objective.

    Attributes:
        encode: (request, base, ledger, *, max_length_tokens) -> the data as tokens.
        judge: Makes what scores a model on the held-out splits.
        learner: Makes what learns.
    """

    encode: Callable[..., EncodedSplits]
    judge: Callable[..., Judge]
    learner: Callable[..., Learner]


def training_for(objective: Objective) -> Training:
    """Return the parts of a run that lowers this objective."""
    if objective.beta is None:
        return Training(encode=_encode_completions, judge=Judge, learner=Learner)
    return Training(
        encode=encode_pairs,
        judge=partial(PreferenceJudge, beta=objective.beta),
        learner=partial(PreferenceLearner, beta=objective.beta),
    )


def _encode_completions(
    request: RunRequest, base: Base, ledger: Ledger, *, max_length_tokens: int
) -> EncodedSplits:
    del ledger
    if any(isinstance(one, Preference) for one in (*request.train, *request.validation)):
        raise InvalidDataset(
            "Supervised training learns from examples without preferences; got chosen and "
            "rejected. Train them with dpo, or give prompt and completion."
        )
    return encode_splits(request, base.tokenizer, max_length_tokens=max_length_tokens)
