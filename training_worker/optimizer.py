"""Build the optimizer and the schedule that the tables name."""

from collections.abc import Iterable

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from metadata.errors import InvalidConfiguration
from metadata.optimizers import OPTIMIZERS, SCHEDULES
from metadata.records import OptimizerChoice, ScheduleChoice
from training_worker.entries import complete, find_entry, resolve

CLIP_NORM = 1.0  # the usual bound on the norm of all gradients together


def build_optimizer(weights: Iterable[nn.Parameter], choice: OptimizerChoice) -> Optimizer:
    """Return the optimizer over the weights; weight decay is on all of them alike.

    Raises:
        InvalidConfiguration: The optimizer or one of its values is unknown, or has no rate.
    """
    spec = find_entry(OPTIMIZERS, choice.name, kind="optimizer")
    decay = {"weight_decay": choice.weight_decay} if choice.weight_decay else {}
    chosen = choice.values | decay
    values = complete(spec.parameters, chosen, name=choice.name, kind="optimizer")
    if spec.has_learning_rate:
        values["lr"] = _rate(choice)
    optimizer: Optimizer = resolve(spec.target)(list(weights), **values, **spec.fixed)
    return optimizer


def build_schedule(optimizer: Optimizer, choice: ScheduleChoice, *, steps: int) -> LambdaLR:
    """Return the schedule of the rate over all steps: a linear warm-up, then the table's.

    Raises:
        InvalidConfiguration: The schedule or one of its values is unknown.
    """
    spec = find_entry(SCHEDULES, choice.name, kind="schedule")
    values = complete(spec.parameters, choice.values, name=choice.name, kind="schedule")
    warmup = round(choice.warmup_fraction * steps)

    def multiplier(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        progress = (step - warmup) / max(1, steps - warmup)
        return max(0.0, spec.multiplier(min(1.0, progress), values))

    return LambdaLR(optimizer, multiplier)


def _rate(choice: OptimizerChoice) -> float:
    if choice.learning_rate is None:
        raise InvalidConfiguration(
            f"{choice.name} needs a learning_rate, got none. Give one, such as 2e-4.",
            param="optimizer",
        )
    return choice.learning_rate
