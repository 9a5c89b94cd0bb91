"""Zeroth-order steps against what gradients say."""

from math import isclose

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from training_worker.adapter import add_adapter, trainable
from training_worker.data import encode_splits
from training_worker.derivative_free.mezo import (
    ZerothOrderSteps,
    direction,
    losses_along,
    step_along,
)
from training_worker.loop import Learner, plan_steps

SIZE = 1e-3


@pytest.fixture
def quadratic() -> tuple[dict[str, nn.Parameter], torch.Tensor]:
    """Return five weights in two tensors, and the matrix of x^T M x."""
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    weights = {
        "a": nn.Parameter(torch.randn(2, generator=generator, dtype=torch.float64)),
        "b": nn.Parameter(torch.randn(3, generator=generator, dtype=torch.float64)),
    }
    return weights, root @ root.T


def value(weights, matrix) -> torch.Tensor:
    x = torch.cat(list(weights.values()))
    return x @ matrix @ x


def flat_direction(weights, seed) -> torch.Tensor:
    return torch.cat([noise.flatten() for _, noise in direction(weights, seed)])


def slope(weights, matrix, seed) -> float:
    higher, lower = losses_along(
        weights, lambda: float(value(weights, matrix).detach()), seed, size=SIZE
    )
    return (higher - lower) / (2 * SIZE)


def test_the_slope_is_the_gradient_along_the_direction(quadratic) -> None:
    weights, matrix = quadratic
    gradient = 2 * matrix @ torch.cat([one.detach() for one in weights.values()])

    for seed in range(20):
        along = float(flat_direction(weights, seed) @ gradient)
        assert isclose(slope(weights, matrix, seed), along, rel_tol=1e-3, abs_tol=1e-6)


def test_slope_times_direction_is_the_gradient_on_average(quadratic) -> None:
    weights, matrix = quadratic
    gradient = 2 * matrix @ torch.cat([one.detach() for one in weights.values()])

    draws = 20_000
    total = torch.zeros(5, dtype=torch.float64)
    for seed in range(draws):
        total += slope(weights, matrix, seed) * flat_direction(weights, seed)

    assert float((total / draws - gradient).norm() / gradient.norm()) < 0.05


def test_weights_return_to_where_they_were() -> None:
    weights = {"a": nn.Parameter(torch.randn(64, 64)), "b": nn.Parameter(torch.zeros(64))}
    before = {name: weight.detach().clone() for name, weight in weights.items()}

    losses_along(weights, lambda: 0.0, 7, size=1e-2)

    for name, weight in weights.items():
        torch.testing.assert_close(weight.detach(), before[name], rtol=0, atol=1e-6)


def test_the_same_seed_gives_the_same_direction_and_weights_differ() -> None:
    weights = {"a": nn.Parameter(torch.zeros(50)), "b": nn.Parameter(torch.zeros(50))}

    one, again, other = (flat_direction(weights, seed) for seed in (1, 1, 2))

    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert not torch.equal(one[:50], one[50:])


def test_a_step_moves_every_weight_against_the_slope_and_leaves_no_gradient() -> None:
    weights = {"a": nn.Parameter(torch.ones(3)), "b": nn.Parameter(torch.ones(2, 2))}
    optimizer = torch.optim.SGD(weights.values(), lr=0.1)

    step_along(optimizer, weights, 3, slope=2.0)

    for weight, noise in direction(weights, 3):
        torch.testing.assert_close(weight.detach(), 1 - 0.1 * 2.0 * noise)
        assert weight.grad is None


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("optimizer", ["mezo", "mezo_adam"])
def test_steps_are_the_same_in_any_micro_batch(
    method, optimizer, tiny_llama, make_request, tokenizer
) -> None:
    asked = {"name": optimizer, "learning_rate": 1e-3, "perturbation": 1e-3, "weight_decay": 0.01}
    request = make_request(method, optimizer=asked, batch_size=8, epochs=1)
    examples = encode_splits(request, tokenizer, max_length_tokens=64).train

    def trained(size: int) -> dict[str, torch.Tensor]:
        model = AutoModelForCausalLM.from_pretrained(tiny_llama).requires_grad_(False)
        torch.manual_seed(0)
        model = add_adapter(model, request.configuration)
        learner = Learner(model, trainable(model), "completion", 1)
        plan = plan_steps(examples, request.configuration, micro_batch_size=size)
        steps = ZerothOrderSteps(learner, request.configuration, steps=len(plan), rows=size)
        for number, step in enumerate(plan, start=1):
            steps.take(step, number=number)
        assert not model.training
        assert all(weight.grad is None for weight in model.parameters())
        return {name: weight.detach() for name, weight in learner.weights.items()}

    whole, parts = trained(8), trained(3)

    for name, weight in whole.items():
        torch.testing.assert_close(weight, parts[name], rtol=0, atol=2e-3)
