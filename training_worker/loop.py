"""Train: plan the micro-batches, rehearse the largest for its memory, then take the steps."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional

from metadata.messages import Limits
from metadata.records import Clipping, Configuration
from training_worker.adaptive_rank import allocate
from training_worker.checkpoints import Checkpoints, copy_of, put_back
from training_worker.clipping import clip
from training_worker.data import Batch, LossOn, Tokens, batches_of_steps, collate
from training_worker.failures import OverMemory, TimedOut, check_finite
from training_worker.ledger import Ledger
from training_worker.meter import TensorMeter
from training_worker.optimizer import build_optimizer, build_schedule
from training_worker.optimizers.averaging import to_be_kept
from training_worker.packing import pack
from training_worker.randomness import own_random_numbers
from training_worker.request import RunRequest, StepTaken
from training_worker.scoring import target_logits

MicroBatches = list[list[Tokens]]
OnStep = Callable[[StepTaken], None]
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

    def allocate(self, step: int) -> None:
        """Let a method that moves its budget among the layers do so, before gradients go."""
        allocate(self.model, step)


class Steps(Protocol):
    """Takes the steps of one run: the optimizer, its schedule, and the mode of the model."""

    @property
    def rate(self) -> float | None:
        """Return the learning rate of the next step, None where there is none."""

    def take(self, micro_batches: MicroBatches, *, number: int) -> tuple[float, int]:
        """Take a step on one batch; return its loss in nats, and its targets."""

    def to_be_kept(self) -> AbstractContextManager[None]:
        """Have the weights be those to keep inside the block."""


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
        targets = max(1, sum(batch.targets for batch in batches))
        nats = sum(learner.backward(batch, targets=targets) for batch in batches)
        learner.penalise()
        clip(learner.weights, learner.clipping)
        self._optimizer.step()
        learner.allocate(number)
        self._optimizer.zero_grad(set_to_none=True)
        self._schedule.step()
        return nats, targets

    def to_be_kept(self) -> AbstractContextManager[None]:
        """Have the weights be those to keep inside the block."""
        return to_be_kept(self._optimizer)


def plan_steps(
    examples: Sequence[Tokens], configuration: Configuration, *, micro_batch_size: int
) -> list[MicroBatches]:
    """Return the micro-batches of every optimizer step, alike lengths together.

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
    return [_split(rows, micro_batch_size) for rows in of_steps]


GRADIENT = Trainer(plan=plan_steps, begin=GradientSteps)


def fit_memory(
    learner: Learner,
    examples: Sequence[Tokens],
    request: RunRequest,
    ledger: Ledger,
    *,
    micro_batch_size: int,
    trainer: Trainer = GRADIENT,
) -> list[MicroBatches]:
    """Return the plan with the first micro-batch that a rehearsal fits in, halving it till then.

    Raises:
        OverMemory: A micro-batch of one example is still over the limit.
        torch.OutOfMemoryError: The same, and the device said so.
    """
    configuration = request.configuration
    size = micro_batch_size
    while True:
        plan = trainer.plan(examples, configuration, micro_batch_size=size)
        try:
            ledger.peak_tensor_bytes = rehearse(
                learner, plan, configuration, trainer=trainer, rows=size
            )
            _check_memory(ledger.peak_tensor_bytes, request.limits)
        except (OverMemory, torch.OutOfMemoryError):
            if size == 1:
                raise
            size = size // 2
            torch.cuda.empty_cache()  # does nothing where there is no CUDA
        else:
            ledger.micro_batch_size, ledger.all_steps = size, len(plan)
            return plan


def rehearse(
    learner: Learner,
    plan: Sequence[MicroBatches],
    configuration: Configuration,
    *,
    trainer: Trainer = GRADIENT,
    rows: int = 1,
) -> int:
    """Return the peak bytes of live tensors, from two steps on the plan's largest micro-batch.

    The first step makes the optimizer's state, the second runs beside it. The weights and the
    random numbers are put back, so that training is the same with and without a rehearsal.
    """
    largest = max((micro for step in plan for micro in step), key=_padded_tokens)
    accumulates = any(len(step) > 1 for step in plan)
    kept = copy_of(learner.weights)
    try:
        with own_random_numbers(), TensorMeter() as meter:
            meter.add(learner.model.parameters())
            meter.add(learner.model.buffers())
            steps = trainer.begin(learner, configuration, steps=max(2, len(plan)), rows=rows)
            for number in (1, 2):
                steps.take([largest] * (2 if accumulates else 1), number=number)
        return int(meter.peak_bytes)
    finally:
        _forget_gradients(learner)
        put_back(kept, learner.weights)


def train(
    learner: Learner,
    plan: Sequence[MicroBatches],
    request: RunRequest,
    ledger: Ledger,
    *,
    validate: Callable[[], float],
    on_step: OnStep,
    trainer: Trainer = GRADIENT,
) -> Checkpoints:
    """Take every step of the plan and return the best checkpoint and the last.

    The loss is the mean over all target tokens of an optimizer step, so the size of the
    micro-batch changes nothing but rounding.

    Raises:
        Diverged: A loss is not finite.
        TimedOut: The training clock passed its limit.
    """
    rows = max(1, ledger.micro_batch_size)
    steps = trainer.begin(learner, request.configuration, steps=len(plan), rows=rows)
    checkpoints = Checkpoints(learner.weights)
    stops = evaluation_steps(len(plan), request.evaluations)
    nats = targets = 0.0
    for number, step in enumerate(plan, start=1):
        rate = steps.rate
        with ledger.training.running():
            step_nats, step_targets = steps.take(step, number=number)
        nats, targets = nats + step_nats, targets + step_targets
        ledger.steps, ledger.trained_tokens = number, ledger.trained_tokens + _tokens(step)
        check_finite(step_nats, step=number, split="train")
        on_step(StepTaken(step=number, steps=len(plan), trained_tokens=ledger.trained_tokens))
        if number in stops:
            ledger.note("loss", nats / targets, "train")
            if rate is not None:
                ledger.note("learning_rate", rate, "train")
            with steps.to_be_kept():
                checkpoints.offer(number, validate())
            nats = targets = 0.0
        _check_time(ledger, request.limits)
    return checkpoints


def evaluation_steps(steps: int, evaluations: int) -> frozenset[int]:
    """Return the steps after which to evaluate, evenly spread, the last always among them."""
    count = max(1, min(steps, evaluations))
    return frozenset(round(steps * (index + 1) / count) for index in range(count))


def _split(examples: list[Tokens], size: int) -> MicroBatches:
    by_length = sorted(examples, key=lambda example: len(example.ids))
    return [by_length[start : start + size] for start in range(0, len(by_length), size)]


def _padded_tokens(micro_batch: list[Tokens]) -> int:
    return len(micro_batch) * max(len(example.ids) for example in micro_batch)


def _tokens(micro_batches: MicroBatches) -> int:
    return sum(len(example.ids) for micro in micro_batches for example in micro)


def _forget_gradients(learner: Learner) -> None:
    for weight in learner.weights.values():
        weight.grad = None


def _check_memory(peak_bytes: int, limits: Limits) -> None:
    if limits.memory_bytes is not None and peak_bytes > limits.memory_bytes:
        raise OverMemory(
            f"Live tensors must stay under {limits.memory_bytes:,} bytes; a micro-batch of one "
            f"example needs {peak_bytes:,}. Shorten the examples or raise the limit."
        )


def _check_time(ledger: Ledger, limits: Limits) -> None:
    if limits.train_seconds is not None and ledger.training.seconds > limits.train_seconds:
        raise TimedOut(
            f"Training must end within {limits.train_seconds:g} s; step {ledger.steps} of "
            f"{ledger.all_steps} ended at {ledger.training.seconds:.1f} s. Train fewer epochs or "
            "raise the limit."
        )
