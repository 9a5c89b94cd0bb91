"""The space of the tables as ConfigSpace knows it.

A name in it is `method`, `method:lora:r`, `rate_ratio`, ...: a parameter of an entry is active
where its entry is chosen. The learning rate is searched as a multiple of `priors.usual_rate`, so
that one space serves models of every width.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ConfigSpace import (
    CategoricalHyperparameter,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    InCondition,
    UniformFloatHyperparameter,
    UniformIntegerHyperparameter,
)

from metadata.architectures import linears
from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS, SCHEDULES
from metadata.parameters import Categorical, Float, Integer, Parameter
from metadata.records import ModelProfile, Scalar, TargetModules

LARGEST_BATCH_LOG2 = 6
LARGEST_RATE_RATIO = 16.0
TARGETS: tuple[TargetModules, ...] = ("all-linear", "attention", "qv", "mlp")
RATE_RATIO = Float(
    name="rate_ratio", lower=1 / LARGEST_RATE_RATIO, upper=LARGEST_RATE_RATIO, default=1.0, log=True
)
SHARED: tuple[Parameter, ...] = (
    Integer(name="batch_size_log2", lower=0, upper=LARGEST_BATCH_LOG2, default=3),
    Float(name="epochs", lower=0.5, upper=60.0, default=3.0, log=True),
    Float(name="warmup_fraction", lower=0.0, upper=0.2, default=0.03),
)
TABLES: Mapping[str, Mapping[str, Any]] = {
    "method": METHODS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}


def build_space(
    model: ModelProfile,
    *,
    methods: Sequence[str] | None = None,
    optimizers: Sequence[str] | None = None,
) -> ConfigurationSpace:
    """Return the space of one model; its ranks end at the model's smallest width.

    `methods` and `optimizers` name those to choose among, all of the tables where not given. The
    space knows each entry's own values; which of them go together on a model, `check` knows.
    """
    return _space(narrowest(model), tuple(methods or METHODS), tuple(optimizers or OPTIMIZERS))


def active_names(values: Mapping[str, Scalar]) -> tuple[str, ...]:
    """Return the names of the space that have a value beside the choices made."""
    return _active(*(str(values[kind]) for kind in TABLES))


@lru_cache(maxsize=4096)
def _active(*entries: str) -> tuple[str, ...]:
    chosen = {
        kind: table[name] for (kind, table), name in zip(TABLES.items(), entries, strict=True)
    }
    conditions = {
        "target_modules": chosen["method"].uses_target_modules,
        RATE_RATIO.name: chosen["optimizer"].has_learning_rate,
    }
    return (
        *TABLES,
        *(parameter.name for parameter in SHARED),
        *(name for name, holds in conditions.items() if holds),
        *(
            f"{kind}:{spec.name}:{parameter.name}"
            for kind, spec in chosen.items()
            for parameter in spec.parameters
        ),
    )


@lru_cache(maxsize=256)
def _space(
    smallest: int, methods: tuple[str, ...], optimizers: tuple[str, ...]
) -> ConfigurationSpace:
    parts: list[Any] = []  # added at once: the space sorts all of them at each addition
    chosen = {"method": methods, "optimizer": optimizers}
    parents: dict[str, Any] = {}
    for kind, table in TABLES.items():
        names = list(chosen.get(kind, table))
        parents[kind] = CategoricalHyperparameter(kind, names)
        parts.append(parents[kind])
        for name in names:
            for parameter in table[name].parameters:
                child = _hyperparameter(f"{kind}:{name}:{parameter.name}", parameter, smallest)
                parts += [child, EqualsCondition(child, parents[kind], name)]
    parts += [_hyperparameter(parameter.name, parameter, smallest) for parameter in SHARED]
    rated = [name for name in optimizers if OPTIMIZERS[name].has_learning_rate]
    rate_ratio = _hyperparameter(RATE_RATIO.name, RATE_RATIO, smallest)
    parts += _where(rate_ratio, parents["optimizer"], rated)
    targeted = [name for name in methods if METHODS[name].uses_target_modules]
    needed = {one for name in optimizers for one in OPTIMIZERS[name].target_modules}
    targets = [*TARGETS, *sorted(needed.difference(TARGETS))]
    choice = CategoricalHyperparameter("target_modules", targets)
    parts += _where(choice, parents["method"], targeted)
    space = ConfigurationSpace(name="peftwise")
    space.add(parts)
    return space


def _where(child: Any, parent: Any, values: list[str]) -> list[Any]:
    return [child, InCondition(child, parent, values)] if values else []


def _hyperparameter(name: str, parameter: Parameter, smallest: int) -> Any:
    if isinstance(parameter, Categorical):
        return CategoricalHyperparameter(name, list(parameter.choices))
    if isinstance(parameter, Float):
        return UniformFloatHyperparameter(
            name, parameter.lower, parameter.upper, parameter.default, log=parameter.log
        )
    upper = min(parameter.upper, smallest) if parameter.name == "r" else parameter.upper
    if upper <= parameter.lower:
        return Constant(name, parameter.lower)
    default = min(parameter.default, upper)
    return UniformIntegerHyperparameter(name, parameter.lower, upper, default, log=parameter.log)


def narrowest(model: ModelProfile) -> int:
    """Return the smallest width of a model's linear maps, where its ranks end."""
    return min(min(linear.d_in, linear.d_out) for linear in linears(model))
