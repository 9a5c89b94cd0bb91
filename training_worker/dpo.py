"""Direct preference optimization: raise the odds of what is preferred, relative to the base's.

The loss of a pair is -log sigmoid(beta * ((log p(chosen) - log p(rejected)) - the same by the
base)), ln 2 for the base itself. Log-probabilities are sums over the tokens of a completion.

Axes: P pairs, B rows of a micro-batch: the chosen of all pairs, then the rejected; L tokens.

Paper: Rafailov et al., arXiv 2305.18290, equation 7.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch.nn import functional

from metadata.records import DPO_BETA, PreferenceScores
from training_worker.data import Batch, Tokens, collate
from training_worker.pairs import Pair, score_pairs
from training_worker.scoring import ExampleScores, Judge, target_logits
from training_worker.steps import Learner


@dataclass(frozen=True, kw_only=True)
class PairBatch(Batch):
    """The rows of some pairs, which are what `targets` counts, and the base's log ratios, (P,)."""

    reference_P: torch.Tensor


@dataclass(frozen=True)
class PreferenceLearner(Learner):
    """Learns to prefer; a micro-batch counts pairs."""

    beta: float = DPO_BETA

    def collate(self, examples: Sequence[Tokens]) -> PairBatch:
        """Return pairs as a batch on the model's device."""
        pairs = cast(Sequence[Pair], examples)
        device = self.model.device
        rows = collate(
            [*(pair.chosen for pair in pairs), *(pair.rejected for pair in pairs)],
            loss_on="completion",
            padding_id=self.padding_id,
            device=device,
        )
        reference_P = torch.tensor([pair.reference for pair in pairs], device=device)
        return PairBatch(**(vars(rows) | {"targets": len(pairs)}), reference_P=reference_P)

    def backward(self, batch: Batch, *, targets: int) -> float:
        """Add a micro-batch's share of the step's gradient; return its loss summed over pairs."""
        assert isinstance(batch, PairBatch)
        logits, labels, is_target_BL = target_logits(self.model, batch)
        nats = functional.cross_entropy(logits, labels, reduction="none")
        del logits  # the loss keeps what it needs of them
        nats_BL = torch.zeros(is_target_BL.shape, device=nats.device)
        nats_B = nats_BL.masked_scatter(is_target_BL, nats).sum(dim=1)
        chosen_P, rejected_P = nats_B.chunk(2)
        loss = losses(self.beta * (rejected_P - chosen_P - batch.reference_P)).sum()
        (loss / targets).backward()
        return float(loss.detach())


@dataclass(frozen=True)
class PairScores(ExampleScores):
    """Per pair, shape (P,): its loss as `nats_E`, 1 as `tokens_E`, and whether it is right."""

    margin_P: torch.Tensor

    @property
    def margin(self) -> float:
        """Return the mean margin between the rewards of a pair."""
        return float(self.margin_P.mean())


@dataclass(frozen=True)
class PreferenceJudge(Judge):
    """Scores one model on held-out pairs."""

    beta: float = DPO_BETA

    def _held_out(self, examples: Sequence[Tokens]) -> PairScores:
        pairs = cast(Sequence[Pair], examples)
        with self.ledger.evaluation.running():
            ratio_P = score_pairs(
                self.model, pairs, self.tokenizer, batch_size=self.settings.batch_size
            )
        reference_P = torch.tensor([pair.reference for pair in pairs], dtype=ratio_P.dtype)
        margin_P = self.beta * (ratio_P - reference_P)
        is_right_P = (margin_P > 0).double() + (margin_P == 0).double() / 2
        return PairScores(losses(margin_P), torch.ones_like(margin_P), is_right_P, margin_P)

    def _note(self, scores: ExampleScores) -> None:
        assert isinstance(scores, PairScores)
        super()._note(scores)
        self.ledger.note("margin", scores.margin, "validation")

    def _describe(self, base: ExampleScores, kept: ExampleScores) -> dict[str, object]:
        assert isinstance(base, PairScores)
        assert isinstance(kept, PairScores)
        found = PreferenceScores(
            base_margin=base.margin,
            margin=kept.margin,
            base_accuracy=base.token_accuracy,
            accuracy=kept.token_accuracy,
        )
        return {"preference": found}


def losses(margins: torch.Tensor) -> torch.Tensor:
    """Return the loss of each pair, by the margin between its rewards."""
    return -functional.logsigmoid(margins)
