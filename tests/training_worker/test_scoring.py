from math import log

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from metadata.examples import Example, Turn
from training_worker.data import Tokens, encode
from training_worker.ledger import Ledger
from training_worker.request import ScoreSettings
from training_worker.scoring import (
    EncodedSplits,
    Judge,
    choose_rankings,
    score,
    with_completion,
)


class NextIsOneMore(nn.Module):
    """A model of 8 tokens that gives the token after t the probability 3/10, the others 1/10."""

    device = torch.device("cpu")

    def forward(self, input_ids, attention_mask, use_cache):
        del attention_mask, use_cache
        logits = torch.zeros(*input_ids.shape, 8)
        logits.scatter_(2, ((input_ids + 1) % 8).unsqueeze(-1), log(3.0))
        return type("Output", (), {"logits": logits})()


def tokens(*ids: int, prompt: int = 1) -> Tokens:
    return Tokens(ids, tuple(place >= prompt for place in range(len(ids))))


def test_losses_are_nats_per_completion_token_over_all_examples(tokenizer) -> None:
    examples = [tokens(1, 2, 3), tokens(1, 5), tokens(4, 4, 5, 6, prompt=2)]

    scores = score(NextIsOneMore(), examples, tokenizer, batch_size=2)

    foreseen, missed = -log(0.3), -log(0.1)
    assert scores.nats_E.tolist() == pytest.approx([2 * foreseen, missed, 2 * foreseen])
    assert scores.tokens_E.tolist() == [2, 1, 2]
    assert (scores.right_E == scores.tokens_E).tolist() == [True, False, True]
    assert scores.token_accuracy == pytest.approx(4 / 5)
    assert scores.loss == pytest.approx((4 * foreseen + missed) / 5)
    assert scores.exact_match == pytest.approx(2 / 3)


def test_the_loss_is_that_of_transformers(tiny_llama, tokenizer) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    examples = [
        encode(Example(None, prompt, completion), tokenizer, max_length_tokens=64)
        for prompt, completion in [("One:", " two"), ("A longer one:", " three four five")]
    ]

    scores = score(model, examples, tokenizer, batch_size=2)

    for row, example in enumerate(examples):
        ids = torch.tensor([example.ids])
        labels = torch.tensor([example.labels("completion")])
        with torch.no_grad():
            loss = model(input_ids=ids, labels=labels).loss
        assert float(scores.nats_E[row] / scores.tokens_E[row]) == pytest.approx(float(loss))


def test_the_true_completion_is_ranked_among_the_others_and_loses_ties(tokenizer) -> None:
    judge = Judge(
        NextIsOneMore(),
        tokenizer,
        EncodedSplits([], [], []),
        ScoreSettings(batch_size=3),
        Ledger(report=lambda measurement, progress: None),
    )
    first = [tokens(1, 2), tokens(1, 4), tokens(1, 5)]
    tied_for_second = [tokens(1, 4), tokens(1, 2), tokens(1, 5)]

    rank = judge.rank([first, tied_for_second])

    assert rank == pytest.approx((1 + 1 / 3) / 2)


def test_distractors_are_other_completions_and_the_same_each_time(make_request, tokenizer) -> None:
    request = make_request(scoring=ScoreSettings(ranked_examples=3, distractors=2))

    rankings = choose_rankings(request, tokenizer, max_length_tokens=64)

    assert rankings == choose_rankings(request, tokenizer, max_length_tokens=64)
    assert [len(ranking) for ranking in rankings] == [3, 3, 3]
    for example, (own, *others) in zip(request.test[:3], rankings, strict=True):
        assert own == encode(example, tokenizer, max_length_tokens=64)
        assert own not in others


def test_nothing_is_ranked_where_there_is_nothing_to_rank(make_request, tokenizer) -> None:
    text = tuple(Example(None, "", f"story {number}") for number in range(4))
    one_answer = tuple(Example(None, f"question {number}", "yes") for number in range(4))

    for test in (text, one_answer):
        request = make_request(test=test)
        assert choose_rankings(request, tokenizer, max_length_tokens=64) == []


def test_a_chat_gets_another_completion_in_its_last_reply() -> None:
    turns = tuple(Turn(role, content) for role, content in [("user", "a"), ("assistant", "b")])

    changed = with_completion(Example(turns, "a", "b"), "c")

    assert changed == Example((turns[0], Turn("assistant", "c")), "a", "c")
