from collections.abc import Sequence

import pytest
import torch
from transformers import AutoModelForCausalLM

from metadata.messages import Limits
from training_worker.adapter import add_adapter, trainable
from training_worker.data import Tokens, encode_splits
from training_worker.failures import OverMemory
from training_worker.ledger import Ledger
from training_worker.loop import Learner, evaluation_steps, fit_memory, plan_steps, rehearse
from training_worker.request import RunRequest


@pytest.fixture
def request_of_8(make_request) -> RunRequest:
    return make_request(batch_size=8, epochs=1)


@pytest.fixture
def learner(tiny_llama, request_of_8) -> Learner:
    model = AutoModelForCausalLM.from_pretrained(tiny_llama).requires_grad_(False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = add_adapter(model, request_of_8.configuration)
    return Learner(model, trainable(model), "completion", 1)


@pytest.fixture
def examples(request_of_8, tokenizer) -> list[Tokens]:
    return encode_splits(request_of_8, tokenizer, max_length_tokens=64).train


def new_ledger() -> Ledger:
    return Ledger(report=lambda measurement, progress: None)


def gradients(learner: Learner, micro_batches: Sequence[list[Tokens]]) -> list[torch.Tensor]:
    batches = [learner.collate(micro) for micro in micro_batches]
    targets = sum(batch.targets for batch in batches)
    for batch in batches:
        learner.backward(batch, targets=targets)
    found = [weight.grad.clone() for weight in learner.weights.values()]
    for weight in learner.weights.values():
        weight.grad = None
    return found


@pytest.mark.parametrize("size", [1, 3, 8])
def test_the_gradient_of_a_step_is_the_same_in_any_micro_batch(learner, examples, size) -> None:
    # Completions of one to six tokens: a mean of means would weigh them otherwise.
    whole = gradients(learner, [examples[:8]])

    parts = gradients(learner, [examples[i : min(i + size, 8)] for i in range(0, 8, size)])

    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


def test_micro_batches_hold_every_example_of_a_step_and_alike_lengths_together(
    examples, request_of_8
) -> None:
    whole = plan_steps(examples, request_of_8.configuration, micro_batch_size=8)

    parts = plan_steps(examples, request_of_8.configuration, micro_batch_size=3)

    for one, other in zip(whole, parts, strict=True):
        together = [example for micro in other for example in micro]
        assert together == one[0]
        assert [len(e.ids) for e in together] == sorted(len(e.ids) for e in together)


def test_a_rehearsal_leaves_weights_gradients_and_random_numbers_as_they_were(
    learner, examples, request_of_8
) -> None:
    plan = plan_steps(examples, request_of_8.configuration, micro_batch_size=4)
    before = {name: weight.detach().clone() for name, weight in learner.weights.items()}
    state = torch.get_rng_state()

    peak_bytes = rehearse(learner, plan, request_of_8.configuration)

    held = sum(weight.nbytes for weight in learner.model.parameters())
    assert peak_bytes > held
    assert torch.equal(torch.get_rng_state(), state)
    for name, weight in learner.weights.items():
        assert torch.equal(weight, before[name])
        assert weight.grad is None


def test_a_larger_micro_batch_needs_more_memory(learner, examples, request_of_8) -> None:
    peaks = [
        rehearse(
            learner,
            plan_steps(examples, request_of_8.configuration, micro_batch_size=size),
            request_of_8.configuration,
        )
        for size in (1, 4, 8)
    ]

    assert peaks == sorted(set(peaks))


def test_the_micro_batch_is_halved_until_it_fits(learner, examples, make_request) -> None:
    roomy, ledger = make_request(batch_size=8, epochs=1), new_ledger()
    fit_memory(learner, examples, roomy, ledger, micro_batch_size=8)
    limit = ledger.peak_tensor_bytes - 1
    tight = make_request(batch_size=8, epochs=1, limits=Limits(memory_bytes=limit))

    plan = fit_memory(learner, examples, tight, ledger, micro_batch_size=8)

    assert ledger.micro_batch_size == max(len(micro) for step in plan for micro in step) < 8
    assert ledger.peak_tensor_bytes <= limit


def test_what_never_fits_says_how_much_one_example_needs(learner, examples, make_request) -> None:
    request = make_request(limits=Limits(memory_bytes=1000))

    with pytest.raises(OverMemory, match="1,000 bytes"):
        fit_memory(learner, examples, request, new_ledger(), micro_batch_size=8)


@pytest.mark.parametrize(
    ("steps", "evaluations", "stops"),
    [(10, 5, {2, 4, 6, 8, 10}), (3, 5, {1, 2, 3}), (7, 2, {4, 7}), (1, 5, {1}), (9, 1, {9})],
)
def test_evaluations_are_spread_and_the_last_step_is_one(steps, evaluations, stops) -> None:
    assert evaluation_steps(steps, evaluations) == stops
