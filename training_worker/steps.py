"""Take the steps of a run: what learns, in which micro-batches, and by which optimizer."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional

from metadata.records import Clipping, Configuration
from training_worker import ranks
from training_worker.adaptive_rank import allocate
from training_worker.clipping import clip
from training_worker.data import Batch, LossOn, Tokens, batches_of_steps, collate
from training_worker.failures import OverMemory
from training_worker.optimizer import build_optimizer, build_schedule
from training_worker.optimizers.averaging import to_be_kept
from training_worker.packing import pack
from training_worker.resuming.module_states import module_state, restore_module
from training_worker.resuming.states import State, restore, state_of
from training_worker.scoring import target_logits

MicroBatches = list[list[Tokens]]
Penalty = Callable[[Any], torch.Tensor]


@dataclass(frozen=True)
class Learner:
    """A model with the weights to train, and how its examples become batches."""

    model: Any
    weights: Mapping[str, nn.Parameter]
    loss_on: LossOn
    padding_id: int
    penalty: Penalty | None = None
    clipping: Clipping = "global"
    held: Mapping[str, nn.Parameter] = field(default_factory=dict)  # read by the optimizer, left

    def collate(self, examples: Sequence[Tokens]) -> Batch:
        """Return examples as a batch on the model's device."""
        return collate(
            examples,
            loss_on=self.loss_on,
            padding_id=self.padding_id,
            device=self.model.device,
        )

    def backward(self, batch: Batch, *, targets: int) -> float:
        """Add a micro-batch's share of the step's gradient; return its nats."""
        logits, labels, _ = target_logits(self.model, batch)
        nats = functional.cross_entropy(logits, labels, reduction="sum")
        del logits  # the loss keeps what it needs of them
        (nats / targets).backward()
        return float(nats.detach())

    def penalise(self) -> None:
        """Add the gradient of what the method asks beside the loss, once a step."""
        if self.penalty is not None:
            self.penalty(self.model).backward()

    def forget_gradients(self) -> None:
        """Drop the gradients that are there."""
        for weight in self.weights.values():
            weight.grad = None

    def allocate(self, step: int) -> None:
        """Let a method that moves its budget among the layers do so, before gradients go."""
        allocate(self.model, step)


class Steps(Protocol):
    """Takes the steps of one run: the optimizer, its schedule, and the mode of the model."""

    @property
    def rate(self) -> float | None:
        """Return the learning rate of the next step, None where there is none."""

    def take(self, micro_batches: MicroBatches, *, number: int) -> tuple[float, int]:
        """Take a step on one batch; return its loss in nats, and its targets.

        Raises:
            torch.OutOfMemoryError: The step is not taken: all but gradients and random numbers is
                as before, so that it can be taken in smaller micro-batches.
        """

    def to_be_kept(self) -> AbstractContextManager[None]:
        """Have the weights be those to keep inside the block."""

    def use_rows(self, rows: int) -> None:
        """Put about so many rows through the model at once from now on."""

    def state(self) -> State:
        """Return what the next steps go on from beside the weights, as plain values."""

    def restore(self, state: State) -> None:
        """Go on from a state of the same run, once the weights are those of its moment."""


@dataclass(frozen=True)
class Trainer:
    """How optimizers of one kind train.

    Attributes:
        plan: (examples, configuration, *, micro_batch_size) -> the micro-batches of every step.
        begin: (learner, configuration, *, steps, rows) -> what takes so many steps, with about so
            many rows through the model at once.
    """

    plan: Callable[..., list[MicroBatches]]
    begin: Callable[..., Steps]


class GradientSteps:
    """Steps along gradients."""

    def __init__(
        self, learner: Learner, configuration: Configuration, *, steps: int, rows: int
    ) -> None:
        """Begin at the first of so many steps."""
        del rows
        self._learner = learner
        learner.model.train()  # a new wrapper says that it trains and holds a model that does not
        self._optimizer = build_optimizer(learner.weights, configuration, learner.held)
        self._schedule = build_schedule(self._optimizer, configuration.schedule, steps=steps)

    @property
    def rate(self) -> float:
        """Return the learning rate of the next step."""
        return float(self._schedule.get_last_lr()[0])

    def take(self, micro_batches: MicroBatches, *, number: int) -> tuple[float, int]:
        """Take a step on one batch; return its loss in nats, and its targets."""
        learner = self._learner
        if not learner.model.training:  # as an evaluation leaves it; setting it takes a walk
            learner.model.train()
        batches = [learner.collate(micro) for micro in micro_batches]
        targets = max(1, int(ranks.total(sum(batch.targets for batch in batches))))
        nats = ranks.total(self._backward(batches, targets=targets))
        ranks.add_gradients(learner.weights)
        learner.penalise()
        clip(learner.weights, learner.clipping)
        self._update(number)
        return nats, targets

    def to_be_kept(self) -> AbstractContextManager[None]:
        """Have the weights be those to keep inside the block."""
        return to_be_kept(self._optimizer)

    def use_rows(self, rows: int) -> None:
        """Change nothing: the rows at once are those of a micro-batch."""

    def state(self) -> State:
        """Return the state of the optimizer, its schedule and the method."""
        of_method = module_state(self._learner.model)
        return {"module": of_method, **state_of(self._optimizer, self._schedule)}

    def restore(self, state: State) -> None:
        """Go on from a state of the same run."""
        restore_module(self._learner.model, state["module"])
        restore(self._optimizer, self._schedule, state)

    def _backward(self, batches: Sequence[Batch], *, targets: int) -> float:
        """Make this process's share of the gradient; what one has no room for, none has."""
        nats, failure = 0.0, None
        try:
            for batch in batches:
                nats += self._learner.backward(batch, targets=targets)
        except torch.OutOfMemoryError as error:
            failure = error
        if ranks.is_any(failure is not None):
            raise failure or torch.OutOfMemoryError("Another process ran out of memory.")
        return nats

    def _update(self, number: int) -> None:
        """Move the weights along their gradients; a part of that cannot be taken back."""
        try:
            self._optimizer.step()
            self._learner.allocate(number)
        except torch.OutOfMemoryError as error:
            raise OverMemory(
                "An optimizer's update must fit beside the weights; the device ran out of memory "
                f"in the update of step {number}, which no smaller micro-batch mends. Take an "
                "optimizer that keeps less, or a device with more memory."
            ) from error
        self._optimizer.zero_grad(set_to_none=True)
        self._schedule.step()


def plan_steps(
    examples: Sequence[Tokens], configuration: Configuration, *, micro_batch_size: int
) -> list[MicroBatches]:
    """Return this process's micro-batches of every optimizer step, alike lengths together.

    A micro-batch counts rows: examples, or where the configuration packs, rows of several.
    """
    steps = batches_of_steps(
        examples=len(examples),
        batch_size=configuration.batch_size,
        epochs=configuration.epochs,
        seed=configuration.seed,
    )
    of_steps = [[examples[number] for number in step] for step in steps]
    if configuration.packing:
        length = configuration.max_length_tokens
        of_steps = [pack(step, length=length) for step in of_steps]
    return [_split(ranks.share_of(rows), micro_batch_size) for rows in of_steps]


GRADIENT = Trainer(plan=plan_steps, begin=GradientSteps)


def in_smaller(plan: Sequence[MicroBatches], micro_batch_size: int) -> list[MicroBatches]:
    """Return a plan of the same steps in smaller micro-batches."""
    return [_split(list(chain.from_iterable(step)), micro_batch_size) for step in plan]


def _split(examples: list[Tokens], size: int) -> MicroBatches:
    by_length = sorted(examples, key=lambda example: len(example.ids))
    return [by_length[start : start + size] for start in range(0, len(by_length), size)]
