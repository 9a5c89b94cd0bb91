"""Score a model on held-out examples, teacher-forced.

Axes: B examples of a batch, L tokens, E examples scored, D completions to rank.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal

import torch
from torch.nn import functional

from metadata.examples import Example
from metadata.records import SUPERVISED, Scores
from training_worker import ranks
from training_worker.checkpoints import Checkpoints
from training_worker.data import IGNORED, Batch, EncodedSplits, Tokens, collate, encode, padding_id
from training_worker.failures import check_finite
from training_worker.ledger import Ledger
from training_worker.request import RunRequest, ScoreSettings


@dataclass(frozen=True)
class ExampleScores:
    """Per example, shape (E,): nats and number of completion tokens, and how many were foreseen."""

    nats_E: torch.Tensor
    tokens_E: torch.Tensor
    right_E: torch.Tensor

    @property
    def loss(self) -> float:
        """Return nats per completion token over all examples together."""
        return float(self.nats_E.sum() / self.tokens_E.sum().clamp(min=1))

    @property
    def exact_match(self) -> float:
        """Return the share of examples whose every completion token is the most probable one.

        Teacher-forced: each token is foreseen from the true ones before it, which for greedy
        decoding is the same as generating the completion exactly.
        """
        exact_E = (self.right_E == self.tokens_E) & (self.tokens_E > 0)
        return float(exact_E.double().mean())

    @property
    def token_accuracy(self) -> float:
        """Return the share of completion tokens that are the most probable one."""
        return float(self.right_E.sum() / self.tokens_E.sum().clamp(min=1))


@dataclass(frozen=True)
class Judge:
    """Scores one model on the held-out splits, on the ledger's evaluation clock."""

    model: Any
    tokenizer: Any
    splits: EncodedSplits
    settings: ScoreSettings
    ledger: Ledger

    def validate(self) -> float:
        """Return the loss on the validation split, and note it on the curve.

        Raises:
            Diverged: The loss is not finite.
        """
        scores = self._held_out(self.splits.validation)
        check_finite(scores.loss, step=self.ledger.steps, split="validation")
        self._note(scores)
        return scores.loss

    def test(self) -> ExampleScores:
        """Return the scores on the test split.

        Raises:
            Diverged: The loss is not finite.
        """
        scores = self._held_out(self.splits.test)
        check_finite(scores.loss, step=self.ledger.steps, split="test")
        return scores

    def read(self, texts: Sequence[Tokens]) -> float:
        """Return nats per token of texts."""
        return self._score(texts).loss

    def compare(
        self,
        checkpoints: Checkpoints,
        base: ExampleScores,
        *,
        keep: Literal["best", "last"],
        rankings: Sequence[Sequence[Tokens]],
    ) -> Scores:
        """Return the test scores of best and last; the model is left with the one to keep."""
        kept, other = checkpoints.kept(keep), checkpoints.kept("last" if keep == "best" else "best")
        checkpoints.load(other)
        other_scores = self.test()
        checkpoints.load(kept)
        kept_scores = self.test() if kept is not other else other_scores
        best, last = (kept_scores, other_scores) if keep == "best" else (other_scores, kept_scores)
        return Scores(
            base_loss=base.loss,
            best_loss=best.loss,
            last_loss=last.loss,
            mean_reciprocal_rank=self.rank(rankings),
            **self._describe(base, kept_scores),
        )

    def rank(self, rankings: Sequence[Sequence[Tokens]]) -> float | None:
        """Return the mean of 1 / rank of each true completion among its distractors.

        Completions are ranked by nats per token, ties against the true one.
        """
        if not rankings:
            return None
        scores = self._score([tokens for ranking in rankings for tokens in ranking])
        loss_E = scores.nats_E / scores.tokens_E.clamp(min=1)
        sizes = [len(ranking) for ranking in rankings]
        ranks = [int((loss_D[1:] <= loss_D[0]).sum()) + 1 for loss_D in loss_E.split(sizes)]
        return sum(1 / rank for rank in ranks) / len(ranks)

    def _held_out(self, examples: Sequence[Tokens]) -> ExampleScores:
        """Return the scores that the objective goes by."""
        return self._score(examples)

    def _note(self, scores: ExampleScores) -> None:
        """Put scores of the validation split on the curve."""
        self.ledger.note("loss", scores.loss, "validation")

    def _describe(self, base: ExampleScores, kept: ExampleScores) -> dict[str, Any]:
        """Return what the objective says of the checkpoint that is kept, beside losses."""
        del base
        return {"exact_match": kept.exact_match}

    def _score(self, examples: Sequence[Tokens]) -> ExampleScores:
        with self.ledger.evaluation.running():
            return score(self.model, examples, self.tokenizer, batch_size=self.settings.batch_size)


def score(
    model: Any, examples: Sequence[Tokens], tokenizer: Any, *, batch_size: int
) -> ExampleScores:
    """Return the scores of each example in the order given; the model is left in eval mode."""
    model.eval()
    nats_E = torch.zeros(len(examples), dtype=torch.float64)
    tokens_E, right_E = torch.zeros_like(nats_E), torch.zeros_like(nats_E)
    by_length = sorted(range(len(examples)), key=lambda index: len(examples[index].ids))
    for start in ranks.share_of(range(0, len(examples), batch_size)):
        rows = by_length[start : start + batch_size]
        batch = collate(
            [examples[row] for row in rows],
            loss_on="completion",
            padding_id=padding_id(tokenizer),
            device=model.device,
        )
        nats_E[rows], tokens_E[rows], right_E[rows] = _score_batch(model, batch)
    ranks.add_up([nats_E, tokens_E, right_E])
    return ExampleScores(nats_E, tokens_E, right_E)


def target_logits(model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return logits in fp32 and ids of all target tokens, and the mask of shape (B, L - 1).

    A method may put tokens before each text: the last L positions are the text's.
    """
    with in_precision(model):
        output = model(input_ids=batch.input_ids_BL, use_cache=False, **_who_sees_whom(batch))
    length = batch.input_ids_BL.shape[1]
    labels_BL = batch.labels_BL[:, 1:]
    is_target_BL = labels_BL != IGNORED
    logits_BLV = output.logits[:, -length:-1]
    return logits_BLV[is_target_BL].float(), labels_BL[is_target_BL], is_target_BL


def in_precision(model: Any) -> AbstractContextManager[Any]:
    """Have the layers of a quantised base hand on bf16: PEFT's for IA3 and others hand on fp32."""
    if getattr(model, "is_quantized", False):
        return torch.autocast(model.device.type, dtype=torch.bfloat16)
    return nullcontext()


def _who_sees_whom(batch: Batch) -> dict[str, torch.Tensor]:
    """Return the mask, or the positions of packed rows.

    Where it is given no mask, transformers lets a token see those of its own run of positions
    alone; held for each family by `tests/training_worker/test_packing.py`.
    """
    if batch.positions_BL is not None:
        return {"position_ids": batch.positions_BL}
    return {"attention_mask": batch.attention_mask_BL}


def choose_rankings(
    request: RunRequest, tokenizer: Any, *, max_length_tokens: int
) -> list[list[Tokens]]:
    """Return for each ranked test example its own completion first, then distractors in its place.

    Distractors are other completions of the test split, the same for every run on the data.
    Nothing is ranked where there is no prompt or only one completion, nor of preferences, whose
    pairs are ranked by themselves.
    """
    if request.objective != SUPERVISED:
        return []
    settings = request.scoring
    asked = [example for example in request.test[: settings.test_examples] if example.prompt]
    completions = sorted({example.completion for example in asked})
    if len(completions) < 2:
        return []
    rng = Random(0)  # the same distractors for every configuration
    return [
        [encode(one, tokenizer, max_length_tokens=max_length_tokens) for one in variants]
        for variants in (
            _variants(example, completions, settings.distractors, rng)
            for example in asked[: settings.ranked_examples]
        )
    ]


def _variants(
    example: Example, completions: Sequence[str], distractors: int, rng: Random
) -> list[Example]:
    others = [completion for completion in completions if completion != example.completion]
    chosen = rng.sample(others, min(distractors, len(others)))
    return [example, *(with_completion(example, completion) for completion in chosen)]


def with_completion(example: Example, completion: str) -> Example:
    """Return the example with another completion, in its last assistant turn if it is a chat."""
    if example.turns is None:
        return replace(example, completion=completion)
    last = max(i for i, turn in enumerate(example.turns) if turn.role == "assistant")
    changed = replace(example.turns[last], content=completion)
    turns = (*example.turns[:last], changed, *example.turns[last + 1 :])
    return replace(example, turns=turns, completion=completion)


@torch.no_grad()
def _score_batch(model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    logits, labels, is_target_BL = target_logits(model, batch)
    nats = functional.cross_entropy(logits, labels, reduction="none").double()
    is_right = (logits.argmax(dim=-1) == labels).double()
    tokens_B = is_target_BL.sum(dim=1).double()
    row = is_target_BL.nonzero()[:, 0]
    nats_B = torch.zeros_like(tokens_B).index_add_(0, row, nats)
    right_B = torch.zeros_like(tokens_B).index_add_(0, row, is_right)
    return nats_B.cpu(), tokens_B.cpu(), right_B.cpu()
