"""What each choice of a configuration adds to its expected regret: swap it for the default's."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from metadata.methods import METHODS
from metadata.priors import rate_ratio, usual_rate
from metadata.records import Configuration, ModelProfile, Task
from metadata.space import default_configuration
from metadata.surrogates.spec import gather
from metadata.surrogates.transfer import Quality

Swap = tuple[str, str, Configuration]
SMALLEST = 1e-4  # of regret; below, a choice makes no difference


class Effect(NamedTuple):
    """One choice, its value, and what it adds to the expected regret; below 0 it helps."""

    choice: str
    value: str
    regret_change: float


def effects(task: Task, configurations: Sequence[Configuration], by: Quality) -> list[list[Effect]]:
    """Return of each configuration the effects of its choices, greatest first.

    Choices are those that differ from the default's.
    """
    default = default_configuration(task)
    swaps = [list(_swaps(own, default, task.model)) for own in configurations]
    everything = [
        one
        for own, swapped in zip(configurations, swaps, strict=True)
        for one in (own, *(other for _, _, other in swapped))
    ]
    regrets = iter(by.alone(gather(task, everything)).tolist() if everything else ())
    return [_effects(swapped, next(regrets), regrets) for swapped in swaps]


def _effects(swaps: Sequence[Swap], own: float, regrets: Iterator[float]) -> list[Effect]:
    """Return the effects of one configuration's choices; its swaps' regrets come next."""
    found = [
        Effect(choice, value, own - regret)
        for (choice, value, _), regret in zip(swaps, islice(regrets, len(swaps)), strict=True)
    ]
    felt = [one for one in found if abs(one.regret_change) >= SMALLEST]
    return sorted(felt, key=lambda one: -abs(one.regret_change))


def _swaps(own: Configuration, default: Configuration, model: ModelProfile) -> Iterator[Swap]:
    """Yield (choice, own value, the configuration with the default's choice instead)."""
    if own.method.name != default.method.name:
        yield (
            "method",
            METHODS[own.method.name].title,
            _with_rate(own, model, method=default.method),
        )
    else:
        for name, value in own.method.values.items():
            usual = default.method.values.get(name)
            if value != usual and usual is not None:
                method = own.method.model_copy(update={name: usual})
                yield name, f"{value}", own.model_copy(update={"method": method})
    if own.optimizer.name != default.optimizer.name:
        yield "optimizer", own.optimizer.name, _with_rate(own, model, optimizer=default.optimizer)
    elif own.optimizer.learning_rate != default.optimizer.learning_rate:
        rate = {"learning_rate": default.optimizer.learning_rate}
        optimizer = own.optimizer.model_copy(update=rate)
        value = f"{own.optimizer.learning_rate:.3g}"
        yield "learning_rate", value, own.model_copy(update={"optimizer": optimizer})
    if METHODS[own.method.name].uses_target_modules:
        yield from _swap(own, default, "target_modules")
    if own.schedule != default.schedule:
        swapped = own.model_copy(update={"schedule": default.schedule})
        yield "schedule", own.schedule.name, swapped
    for name in ("batch_size", "epochs"):
        yield from _swap(own, default, name)


def _swap(own: Configuration, default: Configuration, name: str) -> Iterator[Swap]:
    value, usual = getattr(own, name), getattr(default, name)
    if value != usual:
        shown = f"{value:.3g}" if isinstance(value, float) else f"{value}"
        yield name, shown, own.model_copy(update={name: usual})


def _with_rate(own: Configuration, model: ModelProfile, **swapped: object) -> Configuration:
    """Return a configuration with another method or optimizer, at as usual a rate for it."""
    changed = own.model_copy(update=swapped)
    ratio = rate_ratio(own, model)
    rate = ratio * usual_rate(changed.method.name, changed.optimizer.name, model)
    optimizer = changed.optimizer.model_copy(update={"learning_rate": rate})
    return changed.model_copy(update={"optimizer": optimizer})
