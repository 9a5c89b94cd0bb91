"""Build the optimizer and the schedule that the tables name."""

from collections.abc import Mapping

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS, SCHEDULES
from metadata.records import Configuration, ScheduleChoice
from training_worker.entries import resolve
from training_worker.optimizers.groups import Groups, unnamed

Weights = Mapping[str, nn.Parameter]


def freeze(model: nn.Module, configuration: Configuration) -> Weights:
    """Take out of training what the optimizer leaves as it starts, and return it by name."""
    frozen = OPTIMIZERS[configuration.optimizer.name].frozen
    held = {
        name: weight
        for name, weight in model.named_parameters()
        if any(part in name for part in frozen)
    }
    for weight in held.values():
        weight.requires_grad_(False)
    return held


def build_optimizer(
    weights: Weights, configuration: Configuration, held: Weights | None = None
) -> Optimizer:
    """Return the optimizer over the weights, each group with its weights' names.

    Weights that rest elsewhere than at 0, as the method says, are in a group without decay. An
    optimizer that reads weights which it leaves, as `freeze` returns them, is given them beside.
    The configuration is one that passes `metadata.checks.check`.
    """
    choice = configuration.optimizer
    spec = OPTIMIZERS[choice.name]
    known = {parameter.name for parameter in spec.parameters}
    values = choice.values | {"weight_decay": choice.weight_decay, "lr": choice.learning_rate}
    if not spec.has_learning_rate:
        del values["lr"]
    decays = "weight_decay" in known
    if not decays:
        del values["weight_decay"]
    groups = _groups(weights, METHODS[configuration.method.name].undecayed if decays else ())
    target = resolve(spec.target)
    if isinstance(target, type):
        optimizer: Optimizer = target(unnamed(groups), **values, **spec.fixed)
        return optimizer
    beside = (held or {},) if spec.frozen else ()
    made: Optimizer = target(groups, configuration, *beside, **values, **spec.fixed)
    return made


def _groups(weights: Weights, undecayed: tuple[str, ...]) -> Groups:
    """Return the weights as groups `{names, params}`, those without decay apart."""
    rests = [any(part in name for part in undecayed) for name in weights]
    groups: Groups = []
    for kept, settings in ((False, {}), (True, {"weight_decay": 0.0})):
        names = [name for name, is_kept in zip(weights, rests, strict=True) if is_kept is kept]
        if names:
            groups.append({"names": names, "params": [weights[n] for n in names], **settings})
    return groups


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
