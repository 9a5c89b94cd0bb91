"""Configurations of the space: drawn, asked for, moved; the usual ones; suited to a task."""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from math import ceil, log2
from typing import Any

import numpy as np
from ConfigSpace import (
    CategoricalHyperparameter,
    ConfigurationSpace,
    Constant,
    UniformIntegerHyperparameter,
)

from metadata.checks import check
from metadata.config_space import TABLES, TARGETS, active_names, build_space, narrowest
from metadata.drawing import draw
from metadata.errors import InvalidConfiguration
from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS
from metadata.parameters import defaults
from metadata.priors import rate_ratio, usual_rate, width_rule_rate
from metadata.records import (
    Choice,
    Configuration,
    ModelProfile,
    OptimizerChoice,
    Scalar,
    ScheduleChoice,
    Task,
)

__all__ = [
    "asked",
    "build_space",
    "check",
    "default_configuration",
    "exists",
    "neighbours",
    "sample",
    "suited",
    "usual_configurations",
    "values_of",
    "width_rule_configuration",
]

USUAL_LENGTH_TOKENS = 512  # where nothing is known of the data; `suited` adapts it to a task
LONGEST_TOKENS = 4096  # `suited` cuts longer examples; a configuration can ask for more
LENGTH_STEP_TOKENS = 64
LENGTH_RESERVE = 1.1  # bytes per token differ from text to text
LARGEST_RATE = 100.0  # that a record holds
USUAL_OPTIMIZER = "adamw"
DEFAULT_RANK, DEFAULT_ALPHA, DEFAULT_RATE = 16, 32, 2e-4
MOST_DRAWS = 50  # times as many draws as asked for, before fewer are given
MOVE = 0.15  # standard deviation of a neighbour's step, as a share of a parameter's range

# What a search leaves as it stands.
_KEPT = (
    "max_length_tokens",
    "loss_on",
    "precision",
    "quantization",
    "gradient_clipping",
    "gradient_checkpointing",
    "packing",
    "attention",
    "keep",
    "seed",
)

Values = dict[str, Scalar]


def sample(
    model: ModelProfile,
    *,
    count: int,
    rng: np.random.Generator,
    methods: Sequence[str] | None = None,
    optimizers: Sequence[str] | None = None,
    usual_counts: bool = False,
) -> list[Configuration]:
    """Return configurations drawn uniformly from those of a model's space that can exist.

    With `usual_counts` what is drawn has its ranks and the like rounded to those that people use:
    1, 2, 3, 4, 6, 8, 12, 16, ... There are `count` configurations, fewer only where hardly any can
    exist: a method whose blocks do not divide the model's widths has none.
    """
    space = build_space(model, methods=methods, optimizers=optimizers)
    counts = {name: one for name, one in space.items() if usual_counts and _is_count(one)}
    base = _base(model)
    found: list[Configuration] = []
    for _ in range(MOST_DRAWS):
        if len(found) >= count:
            break
        drawn = (
            _decode(_with_usual_counts(values, counts), base, model)
            for values in draw(space, count, rng)
        )
        found += [one for one in drawn if exists(one, model)]
    return found[:count]


def asked(
    model: ModelProfile,
    ask: Callable[[Any], Scalar],
    *,
    methods: Sequence[str] | None = None,
    optimizers: Sequence[str] | None = None,
) -> Configuration:
    """Return the configuration whose values `ask` gives, one hyperparameter after another.

    Only those are asked for that the choices before leave active, as a tuner of another make needs.
    The configuration may be one that cannot exist: see `exists`.
    """
    space = build_space(model, methods=methods, optimizers=optimizers)
    values: Values = {name: ask(space[name]) for name in TABLES}
    for name in active_names(values):
        if name not in values:
            values[name] = ask(space[name])
    return _decode(values, _base(model), model)


def neighbours(
    configuration: Configuration,
    model: ModelProfile,
    *,
    count: int,
    rng: np.random.Generator,
    methods: Sequence[str] | None = None,
    optimizers: Sequence[str] | None = None,
) -> list[Configuration]:
    """Return `count` configurations that differ in one or two choices, numbers by a short step.

    A step to another method or optimizer is one to those that are named, as in `sample`. There
    are fewer than `count` only where hardly any neighbour can exist.
    """
    own = (configuration.method.name, configuration.optimizer.name)
    allowed = [
        None if names is None else sorted({*names, name})
        for names, name in zip((methods, optimizers), own, strict=True)
    ]
    space = build_space(model, methods=allowed[0], optimizers=allowed[1])
    start = values_of(configuration, model)
    tries = range(MOST_DRAWS * count)
    moves = (_decode(_moved(start, space, rng), configuration, model) for _ in tries)
    return list(islice((one for one in moves if exists(one, model)), count))


def exists(configuration: Configuration, model: ModelProfile) -> bool:
    """Say whether a configuration can exist on a model."""
    try:
        check(configuration, model)
    except InvalidConfiguration:
        return False
    return True


def default_configuration(task: Task) -> Configuration:
    """Return what most people would try first: LoRA of rank 16 on all linears, rate 2e-4."""
    return suited(
        Configuration(
            method=Choice.model_validate(
                {
                    "name": "lora",
                    "r": min(DEFAULT_RANK, narrowest(task.model)),
                    "lora_alpha": DEFAULT_ALPHA,
                    "lora_dropout": 0.0,
                }
            ),
            optimizer=OptimizerChoice(name="adamw", learning_rate=DEFAULT_RATE),
            schedule=ScheduleChoice(name="linear", warmup_fraction=0.03),
            batch_size=8,
            epochs=3.0,
        ),
        task,
    )


def width_rule_configuration(task: Task) -> Configuration:
    """Return the default at the published best rate for a model of this width."""
    configuration = default_configuration(task)
    rate = width_rule_rate(task.model)
    optimizer = configuration.optimizer.model_copy(update={"learning_rate": rate})
    return configuration.model_copy(update={"optimizer": optimizer})


def usual_configurations(name: str, task: Task) -> list[Configuration]:
    """Return a method at its default values and usual rate, on each set of layers it can take."""
    spec, base = METHODS[name], default_configuration(task)
    optimizer = OptimizerChoice(
        name=USUAL_OPTIMIZER, learning_rate=usual_rate(name, USUAL_OPTIMIZER, task.model)
    )
    method = Choice.model_validate({"name": name, **defaults(spec.parameters)})
    return [
        base.model_copy(update={"method": method, "target_modules": target, "optimizer": optimizer})
        for target in (TARGETS if spec.uses_target_modules else TARGETS[:1])
    ]


def suited(configuration: Configuration, task: Task) -> Configuration:
    """Return a configuration with the length of a task's examples and its device's precision."""
    return configuration.model_copy(update=set_by(task))


def set_by(task: Task) -> dict[str, Any]:
    """Return the length and the precision of configurations that suit a task.

    All but one in a hundred examples go in whole, up to 4,096 tokens and the model's context.
    """
    prompt, completion = task.dataset.prompt_bytes, task.dataset.completion_bytes
    tokens = LENGTH_RESERVE * (prompt.p99 + completion.p99) / task.model.bytes_per_token
    steps = ceil((tokens + 1) / LENGTH_STEP_TOKENS)
    length = min(steps * LENGTH_STEP_TOKENS, LONGEST_TOKENS, task.model.context_tokens)
    precision = "bf16" if task.device.kind == "cuda" else "fp32"
    return {"max_length_tokens": max(8, length), "precision": precision}


def values_of(configuration: Configuration, model: ModelProfile) -> Values:
    """Return what the space of a model would have to choose for a configuration."""
    method, optimizer = configuration.method, configuration.optimizer
    values: Values = {
        "method": method.name,
        "optimizer": optimizer.name,
        "schedule": configuration.schedule.name,
        "batch_size_log2": round(log2(configuration.batch_size)),
        "epochs": configuration.epochs,
        "warmup_fraction": configuration.schedule.warmup_fraction,
        "target_modules": configuration.target_modules,
        "rate_ratio": rate_ratio(configuration, model),
    }
    takes = {parameter.name for parameter in OPTIMIZERS[optimizer.name].parameters}
    decay = {"weight_decay": optimizer.weight_decay} if "weight_decay" in takes else {}
    chosen = {
        "method": method.values,
        "optimizer": {**decay, **optimizer.values},
        "schedule": configuration.schedule.values,
    }
    for kind, named in chosen.items():
        values |= {f"{kind}:{values[kind]}:{name}": value for name, value in named.items()}
    return {name: values[name] for name in active_names(values) if name in values}


def _moved(start: Values, space: ConfigurationSpace, rng: np.random.Generator) -> Values:
    moved = dict(start)
    names = [name for name in sorted(start) if not isinstance(space[name], Constant)]
    for name in rng.choice(names, size=min(len(names), int(rng.integers(1, 3))), replace=False):
        if name in moved:  # it may have gone with its entry
            moved[name] = _step(space[name], moved[name], rng)
            moved = _completed(moved, space)
    return moved


def _step(hyperparameter: Any, value: Any, rng: np.random.Generator) -> Any:
    if isinstance(hyperparameter, CategoricalHyperparameter):
        others = [choice for choice in hyperparameter.choices if choice != value]
        return _plain(others[int(rng.integers(len(others)))]) if others else value
    vector = float(hyperparameter.to_vector(value)) + float(rng.normal(0.0, MOVE))
    vector = 1.0 - abs(1.0 - abs(vector))  # a step over an end comes back
    moved = _plain(hyperparameter.to_value(min(max(vector, 0.0), 1.0)))
    return _usual_count(moved, hyperparameter) if _is_count(hyperparameter) else moved


def _with_usual_counts(drawn: Mapping[str, Any], counts: Mapping[str, Any]) -> Values:
    values = dict(drawn)
    for name in values.keys() & counts.keys():
        values[name] = _usual_count(int(values[name]), counts[name])
    return values


def _is_count(hyperparameter: Any) -> bool:
    return isinstance(hyperparameter, UniformIntegerHyperparameter) and bool(hyperparameter.log)


def _usual_count(value: int, hyperparameter: UniformIntegerHyperparameter) -> int:
    """Return the nearest of 1, 2, 3, 4, 6, 8, 12, 16, ... within the bounds."""
    power = 1 << (value.bit_length() - 1)
    nearest = min((power, 3 * power // 2, 2 * power), key=lambda one: abs(one - value))
    return int(min(max(nearest, hyperparameter.lower), hyperparameter.upper))


def _completed(values: Values, space: ConfigurationSpace) -> Values:
    """Drop what an entry no longer chosen leaves, and take over or default what is new."""
    same = {name.rpartition(":")[2]: value for name, value in values.items() if ":" in name}
    return {
        name: values[name] if name in values else _clipped(space[name], same)
        for name in active_names(values)
    }


def _clipped(hyperparameter: Any, same: Mapping[str, Any]) -> Any:
    """Return the value of the same name in an entry left behind, the default where it has none."""
    value = same.get(hyperparameter.name.rpartition(":")[2], hyperparameter.default_value)
    return _plain(value if hyperparameter.legal_value(value) else hyperparameter.default_value)


def _base(model: ModelProfile) -> Configuration:
    return Configuration(
        method=Choice(name="lora"),
        optimizer=OptimizerChoice(name="adamw"),
        max_length_tokens=max(8, min(USUAL_LENGTH_TOKENS, model.context_tokens)),
    )


def _decode(values: Mapping[str, Any], base: Configuration, model: ModelProfile) -> Configuration:
    method, optimizer = str(values["method"]), str(values["optimizer"])
    rate = values.get("rate_ratio")
    usual = usual_rate(method, optimizer, model)
    return Configuration(
        **{name: getattr(base, name) for name in _KEPT},
        method=Choice(name=method, **_of(values, "method", method)),
        optimizer=OptimizerChoice(
            name=optimizer,
            learning_rate=None if rate is None else _plain(min(rate * usual, LARGEST_RATE)),
            **_of(values, "optimizer", optimizer),
        ),
        schedule=ScheduleChoice(
            name=str(values["schedule"]),
            warmup_fraction=_plain(values["warmup_fraction"]),
            **_of(values, "schedule", str(values["schedule"])),
        ),
        target_modules=_plain(values.get("target_modules", "all-linear")),
        batch_size=2 ** int(values["batch_size_log2"]),
        epochs=_plain(values["epochs"]),
    )


def _of(values: Mapping[str, Any], kind: str, name: str) -> dict[str, Any]:
    prefix = f"{kind}:{name}:"
    return {
        key.removeprefix(prefix): _plain(value)
        for key, value in values.items()
        if key.startswith(prefix)
    }


def _plain(value: Any) -> Any:
    """Return a number or text of Python's own, numbers with three digits, for people to read."""
    value = value.item() if isinstance(value, np.generic) else value
    return float(f"{value:.3g}") if isinstance(value, float) else value
