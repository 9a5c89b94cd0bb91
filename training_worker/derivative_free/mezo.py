"""Zeroth-order steps in place: two forward passes tell the slope along one random direction.

Paper: Malladi et al., arXiv:2305.17333 (MeZO). The direction is never held: its numbers are drawn
again from a seed, tensor by tensor, whenever it is needed.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from metadata.parameters import number as numeric
from metadata.records import Configuration
from training_worker.derivative_free.judging import nats_of
from training_worker.optimizer import build_optimizer, build_schedule
from training_worker.optimizers.groups import Groups, unnamed
from training_worker.resuming.states import State, restore, state_of
from training_worker.steps import Learner, MicroBatches

Weights = Mapping[str, nn.Parameter]
LARGEST_SEED = 2**62


class ZerothOrderSteps:
    """Steps of MeZO on the learner's weights, whatever method they are of.

    Dropout is off, as both losses must be of the same function.
    """

    def __init__(
        self, learner: Learner, configuration: Configuration, *, steps: int, rows: int
    ) -> None:
        """Begin at the first of so many steps."""
        del rows
        self._learner = learner
        self._perturbation = numeric(configuration.optimizer.values, "perturbation")
        self._optimizer = build_optimizer(learner.weights, configuration)
        self._schedule = build_schedule(self._optimizer, configuration.schedule, steps=steps)
        self._seeds = torch.Generator().manual_seed(configuration.seed)

    @property
    def rate(self) -> float:
        """Return the learning rate of the next step."""
        return float(self._schedule.get_last_lr()[0])

    def to_be_kept(self) -> AbstractContextManager[None]:
        """Return a block within which the weights are those to keep: as they are."""
        return nullcontext()

    def use_rows(self, rows: int) -> None:
        """Change nothing: the rows at once are those of a micro-batch."""

    def state(self) -> State:
        """Return the state of the optimizer, its schedule and the seeds of directions."""
        return {"seeds": self._seeds.get_state(), **state_of(self._optimizer, self._schedule)}

    def restore(self, state: State) -> None:
        """Go on from a state of the same run."""
        self._seeds.set_state(state["seeds"])
        restore(self._optimizer, self._schedule, state)

    @torch.no_grad()
    def take(self, micro_batches: MicroBatches, *, number: int) -> tuple[float, int]:
        """Take one step; return the mean of its two losses in nats, and its targets.

        Raises:
            torch.OutOfMemoryError: The step is not taken, and the weights are as before but for
                rounding.
        """
        del number
        learner = self._learner
        learner.model.eval()
        batches = [learner.collate(micro) for micro in micro_batches]
        targets = max(1, sum(batch.targets for batch in batches))

        def loss() -> float:
            return sum(nats_of(learner, batch) for batch in batches) + targets * _penalty(learner)

        before = self._seeds.get_state()
        seed = int(torch.randint(LARGEST_SEED, (1,), generator=self._seeds))
        try:
            higher, lower = losses_along(learner.weights, loss, seed, size=self._perturbation)
        except torch.OutOfMemoryError:
            self._seeds.set_state(before)
            raise
        slope = (higher - lower) / (2 * self._perturbation * targets)
        step_along(self._optimizer, learner.weights, seed, slope=slope)
        self._schedule.step()
        return (higher + lower) / 2, targets


def losses_along(
    weights: Weights, loss: Callable[[], float], seed: int, *, size: float
) -> tuple[float, float]:
    """Return the losses at weights moved by `size` along a direction, and by as much against it.

    The weights come back to where they were within rounding, if a loss cannot be had too.
    """
    move(weights, seed, size)
    way_back = -size
    try:
        higher = loss()
        move(weights, seed, -2 * size)
        way_back = size
        lower = loss()
    finally:
        move(weights, seed, way_back)
    return higher, lower


@torch.no_grad()
def move(weights: Weights, seed: int, size: float) -> None:
    """Add a multiple of a direction to the weights, in place."""
    for weight, noise in direction(weights, seed):
        weight.add_(noise, alpha=size)


def direction(weights: Weights, seed: int) -> Iterator[tuple[nn.Parameter, torch.Tensor]]:
    """Yield each weight with its part of the direction of a seed: the same each time."""
    generators: dict[torch.device, torch.Generator] = {}
    for weight in weights.values():
        if weight.device not in generators:
            generators[weight.device] = torch.Generator(weight.device).manual_seed(seed)
        yield (
            weight,
            torch.randn(
                weight.shape,
                generator=generators[weight.device],
                device=weight.device,
                dtype=weight.dtype,
            ),
        )


def step_along(
    optimizer: torch.optim.Optimizer, weights: Weights, seed: int, *, slope: float
) -> None:
    """Let the optimizer take a step as if the gradient were the slope times the direction.

    One weight has a gradient at a time, since torch's optimizers pass over those without: memory
    stays that of inference.
    """
    for weight, noise in direction(weights, seed):
        weight.grad = noise.mul_(slope)
        optimizer.step()
        weight.grad = None


def build_sgd(groups: Groups, configuration: Configuration, **values: Any) -> torch.optim.SGD:
    """Return plain gradient descent, with decay as a part of the gradient as MeZO has it."""
    del configuration
    return torch.optim.SGD(unnamed(groups), foreach=False, **_of_torch(values))


def build_adam(groups: Groups, configuration: Configuration, **values: Any) -> torch.optim.AdamW:
    """Return Adam, with decay beside the gradient."""
    del configuration
    return torch.optim.AdamW(unnamed(groups), foreach=False, **_of_torch(values))


def _of_torch(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != "perturbation"}


def _penalty(learner: Learner) -> float:
    return 0.0 if learner.penalty is None else float(learner.penalty(learner.model))
