"""Train: rehearse the largest micro-batch for its memory, then take the steps of the plan."""

from collections.abc import Callable, Sequence

import torch

from metadata.messages import Limits
from metadata.records import Configuration
from training_worker import ranks
from training_worker.checkpoints import Checkpoints, copy_of, put_back
from training_worker.data import Tokens
from training_worker.failures import OverMemory, TimedOut, check_finite
from training_worker.ledger import Ledger
from training_worker.meter import TensorMeter
from training_worker.randomness import own_random_numbers
from training_worker.request import RunRequest, StepTaken
from training_worker.resuming.keeper import Keeper, Resumable
from training_worker.resuming.progress import Progress
from training_worker.resuming.states import random_state, restore_random
from training_worker.steps import (
    GRADIENT,
    Learner,
    MicroBatches,
    Steps,
    Trainer,
    in_smaller,
    plan_steps,
)

__all__ = ["GRADIENT", "Learner", "MicroBatches", "Steps", "Trainer", "plan_steps"]
__all__ += ["evaluation_steps", "fit_memory", "rehearse", "train"]

OnStep = Callable[[StepTaken], None]


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
    ledger.micro_batch_size = size = ranks.least(micro_batch_size)
    while True:
        plan = trainer.plan(examples, configuration, micro_batch_size=size)
        failure: Exception | None = None
        try:
            with ranks.alone():
                ledger.peak_tensor_bytes = rehearse(
                    learner, plan, configuration, trainer=trainer, rows=size
                )
            _check_memory(ledger.peak_tensor_bytes, request.limits)
        except (OverMemory, torch.OutOfMemoryError) as error:
            failure = error.with_traceback(None)  # whose frames hold what did not fit
        if not ranks.is_any(failure is not None):
            ledger.all_steps = len(plan)
            return plan
        if size == 1:
            raise failure or OverMemory("Another process needs more memory than it has.")
        size = _halve(ledger, "a rehearsal of the largest went over it")


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
        learner.forget_gradients()
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
    keeper: Keeper | None = None,
    resumed: Resumable | None = None,
) -> Checkpoints:
    """Take every step of the plan and return the best checkpoint and the last.

    The loss is the mean over all target tokens of an optimizer step, so the size of the
    micro-batch changes nothing but rounding. A step that the device has no room for is taken again
    in micro-batches half as large, as are all after it.

    Args:
        learner: What learns.
        plan: The micro-batches of every step.
        request: What was asked.
        ledger: The account of the run.
        validate: Returns the validation loss, and notes it.
        on_step: Told each step taken.
        trainer: How steps are taken.
        keeper: Writes checkpoints between steps; None writes none.
        resumed: The checkpoint to go on from; None begins at the first step.

    Raises:
        Diverged: A loss is not finite.
        TimedOut: The training clock passed its limit.
        Preempted: The process was told to stop.
    """
    keeper = keeper or Keeper()
    rows = max(1, ledger.micro_batch_size)
    steps = trainer.begin(learner, request.configuration, steps=len(plan), rows=rows)
    progress = Progress(learner, steps, Checkpoints(learner.weights), ledger)
    if resumed is not None:
        keeper.resume(resumed, progress)
        _tell(on_step, ledger)
    _share_first(learner, request, ledger)
    stops = evaluation_steps(len(plan), request.evaluations)
    keeper.keep(progress)
    while ledger.steps < len(plan):
        number, rate = ledger.steps + 1, steps.rate
        with ledger.training.running():
            plan, (nats, targets) = _take(progress, plan, number)
        progress.add(nats, targets)
        ledger.steps = number
        ledger.trained_tokens += int(ranks.total(_tokens(plan[number - 1])))
        check_finite(nats, step=number, split="train")
        _tell(on_step, ledger)
        if number in stops:
            _evaluate(progress, rate, validate)
        _check_time(ledger, request.limits)
        keeper.keep(progress)
    return progress.checkpoints


def evaluation_steps(steps: int, evaluations: int) -> frozenset[int]:
    """Return the steps after which to evaluate, evenly spread, the last always among them."""
    count = max(1, min(steps, evaluations))
    return frozenset(round(steps * (index + 1) / count) for index in range(count))


def _share_first(learner: Learner, request: RunRequest, ledger: Ledger) -> None:
    """Have all processes start with the same weights, and each with random numbers of its own."""
    ranks.share_first([*learner.weights.values(), *learner.model.buffers()])
    if not ranks.is_first():
        torch.manual_seed(request.configuration.seed + ledger.steps + ranks.rank())


def _take(
    progress: Progress, plan: Sequence[MicroBatches], number: int
) -> tuple[Sequence[MicroBatches], tuple[float, int]]:
    """Take a step of a plan, in ever smaller micro-batches until it fits; return the plan too."""
    ledger = progress.ledger
    random = random_state(ledger.device)
    while True:
        try:
            return plan, progress.steps.take(plan[number - 1], number=number)
        except torch.OutOfMemoryError:
            if ledger.micro_batch_size <= 1:
                raise
        progress.learner.forget_gradients()
        restore_random(random, ledger.device)
        plan = in_smaller(plan, _halve(ledger, f"step {number} ran out of memory"))
        progress.steps.use_rows(ledger.micro_batch_size)


def _evaluate(progress: Progress, rate: float | None, validate: Callable[[], float]) -> None:
    """Note the losses at this step, and offer its weights as the best."""
    ledger = progress.ledger
    ledger.note("loss", progress.taken_loss(), "train")
    if rate is not None:
        ledger.note("learning_rate", rate, "train")
    with progress.steps.to_be_kept():
        progress.checkpoints.offer(ledger.steps, validate())


def _halve(ledger: Ledger, what_happened: str) -> int:
    """Halve the micro-batch, tell of it, and return its size."""
    size = ledger.micro_batch_size
    ledger.micro_batch_size = size // 2
    torch.cuda.empty_cache()  # does nothing where there is no CUDA
    ledger.notify(
        "warn",
        f"A micro-batch must fit the memory; {what_happened} at {size} examples. From here on "
        f"{size // 2} go through the model at once and gradients add up over more of them: the "
        "batch of a step stays as it is.",
        micro_batch_size=size // 2,
        step=ledger.steps,
    )
    return size // 2


def _tell(on_step: OnStep, ledger: Ledger) -> None:
    tokens = ledger.trained_tokens
    on_step(StepTaken(step=ledger.steps, steps=ledger.all_steps, trained_tokens=tokens))


def _padded_tokens(micro_batch: list[Tokens]) -> int:
    return len(micro_batch) * max(len(example.ids) for example in micro_batch)


def _tokens(micro_batches: MicroBatches) -> int:
    return sum(len(example.ids) for micro in micro_batches for example in micro)


def _check_memory(peak_bytes: int, limits: Limits) -> None:
    if limits.memory_bytes is not None and peak_bytes > limits.memory_bytes:
        raise OverMemory(
            f"Live tensors must stay under {limits.memory_bytes:,} bytes; a micro-batch of one "
            f"example needs {peak_bytes:,}. Shorten the examples or raise the limit."
        )


def _check_time(ledger: Ledger, limits: Limits) -> None:
    if limits.train_seconds is None:
        return
    if ranks.is_any(ledger.training.seconds > limits.train_seconds):
        raise TimedOut(
            f"Training must end within {limits.train_seconds:g} s; step {ledger.steps} of "
            f"{ledger.all_steps} ended at {ledger.training.seconds:.1f} s. Train fewer epochs or "
            "raise the limit."
        )
