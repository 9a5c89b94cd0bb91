"""Build the optimizer and the schedule that the tables name."""

from collections.abc import Iterable

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from metadata.optimizers import OPTIMIZERS, SCHEDULES
from metadata.records import OptimizerChoice, ScheduleChoice
from training_worker.entries import resolve

CLIP_NORM = 1.0  # the usual bound on the norm of all gradients together


def build_optimizer(weights: Iterable[nn.Parameter], choice: OptimizerChoice) -> Optimizer:
    """Return the optimizer over the weights; weight decay is on all of them alike.

    The choice is one that passes `metadata.checks.check`.
    """
    spec = OPTIMIZERS[choice.name]
    known = {parameter.name for parameter in spec.parameters}
    values = choice.values | {"weight_decay": choice.weight_decay, "lr": choice.learning_rate}
    if not spec.has_learning_rate:
        del values["lr"]
    if "weight_decay" not in known:
        del values["weight_decay"]
    optimizer: Optimizer = resolve(spec.target)(list(weights), **values, **spec.fixed)
    return optimizer


def build_schedule(optimizer: Optimizer, choice: ScheduleChoice, *, steps: int) -> LambdaLR:
    """Return the schedule of the rate over all steps: a linear warm-up, then the table's.

    The choice is one that passes `metadata.checks.check`.
    """
    spec, values = SCHEDULES[choice.name], choice.values
    warmup = round(choice.warmup_fraction * steps)

    def multiplier(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        progress = (step - warmup) / max(1, steps - warmup)
        return max(0.0, spec.multiplier(min(1.0, progress), values))

    return LambdaLR(optimizer, multiplier)
