"""Configurations on a task as numbers, with the physics of training in them.

Axes: C configurations, V values read from each, F features.
"""

from collections.abc import Mapping, Sequence
from math import log2, sqrt
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from metadata.architectures import Linear, targeted
from metadata.features.task import completion_tokens, prompt_tokens, training_examples
from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS, SCHEDULES
from metadata.priors import rate_ratio
from metadata.records import Configuration, ModelProfile, TargetModules, Task

Floats = NDArray[np.float64]
Targets = Mapping[TargetModules, tuple[Linear, ...]]

TARGETS: tuple[TargetModules, ...] = get_args(TargetModules)
# Read from each configuration, in this order.
VALUES = (
    "log2_rate_ratio",
    "log2_rank",
    "log2_scale",
    "log2_trainable_parameters",
    "log2_batch_size",
    "log2_epochs",
    "warmup_fraction",
    "cooldown_fraction",
    "weight_decay",
    "dropout",
    "loss_on_all",
    "keep_last",
    "log2_max_length_tokens",
)
# Computed from these and the task.
PHYSICS = (
    "log2_steps",
    "log2_updates_by_rate",
    "log2_rate_per_example",
    "log2_trained_share",
    "log2_tokens_per_trainable",
    "log2_capacity_per_target_token",
    "log2_shown_share",
)
CONFIGURATION_FEATURES: tuple[str, ...] = (
    *VALUES,
    *PHYSICS,
    *(f"method_{name}" for name in METHODS),
    *(f"target_{name}" for name in TARGETS),
    *(f"optimizer_{name}" for name in OPTIMIZERS),
    *(f"schedule_{name}" for name in SCHEDULES),
)


def describe_configurations(
    task: Task,
    configurations: Sequence[Configuration],
    rated_on: Sequence[ModelProfile] | None = None,
) -> Floats:
    """Return `CONFIGURATION_FEATURES` of each configuration on a task, all finite.

    Args:
        task: Its device is not looked at.
        configurations: C of them, each of known entries of the tables.
        rated_on: The model that each one's learning rate is for, the task's where not given.

    Returns:
        X_CF, one row each. The learning rate stands as a multiple of the usual one of its method,
        optimizer and model; LoRA's scale is alpha / r, rsLoRA's alpha / sqrt(r).
    """
    targets = {target: targeted(task.model, target) for target in TARGETS}
    values = [
        _values(one, rate_ratio(one, own), targets, task.model)
        for one, own in zip(
            configurations, rated_on or [task.model] * len(configurations), strict=True
        )
    ]
    values_CV = np.array(values, dtype=np.float64).reshape(len(values), len(VALUES))
    return np.hstack(
        [
            values_CV,
            _physics(values_CV, task),
            _one_hot([c.method.name for c in configurations], tuple(METHODS)),
            _one_hot(_targets(configurations), TARGETS),
            _one_hot([c.optimizer.name for c in configurations], tuple(OPTIMIZERS)),
            _one_hot([c.schedule.name for c in configurations], tuple(SCHEDULES)),
        ]
    )


def _values(
    configuration: Configuration, ratio: float, targets: Targets, model: ModelProfile
) -> tuple[float, ...]:
    method, optimizer = configuration.method, configuration.optimizer
    values = method.values
    spec = METHODS[method.name]
    rank, alpha = _number(values, "r"), _number(values, "lora_alpha")
    trainable = spec.trainable(values, targets[configuration.target_modules], model)
    return (
        log2(ratio) if ratio else 0.0,
        log2(rank) if rank else 0.0,
        log2(alpha / (sqrt(rank) if spec.fixed.get("use_rslora") else rank))
        if rank and alpha
        else 0.0,
        log2(max(1, trainable)),
        log2(configuration.batch_size),
        log2(configuration.epochs),
        configuration.schedule.warmup_fraction,
        _number(configuration.schedule.values, "cooldown_fraction"),
        optimizer.weight_decay,
        _number(values, "lora_dropout"),
        float(configuration.loss_on == "all"),
        float(configuration.keep == "last"),
        log2(configuration.max_length_tokens),
    )


def _number(values: Mapping[str, object], name: str) -> float:
    value = values.get(name, 0.0)
    return float(value) if isinstance(value, int | float) else 0.0


def _physics(values_CV: Floats, task: Task) -> Floats:
    """Return how long, how hard and with what capacity against how much data is trained."""
    column = {name: values_CV[:, index] for index, name in enumerate(VALUES)}
    examples = training_examples(task.dataset)
    prompt, completion = prompt_tokens(task), completion_tokens(task)
    length_C = 2.0 ** column["log2_max_length_tokens"]
    # Cutting takes the prompt first.
    seen_C = np.minimum(completion, length_C)
    learnt_C = np.where(
        column["loss_on_all"] > 0, np.minimum(prompt + completion, length_C), seen_C
    )
    log2_learnt_C = np.log2(examples * learnt_C)
    updates_C = column["log2_epochs"] + log2(examples) - column["log2_batch_size"]
    log2_steps_C = np.maximum(updates_C, 0.0)
    log2_trainable_C = column["log2_trainable_parameters"]
    return np.column_stack(
        [
            log2_steps_C,
            log2_steps_C + column["log2_rate_ratio"],
            column["log2_rate_ratio"] - column["log2_batch_size"],
            log2_trainable_C - log2(task.model.parameters),
            log2_learnt_C + column["log2_epochs"] - log2_trainable_C,
            log2_trainable_C - log2_learnt_C,
            np.log2(np.minimum(1.0, length_C / (prompt + completion))),
        ]
    )


def _targets(configurations: Sequence[Configuration]) -> list[str]:
    """Return each target, `all-linear` where the method takes no notice of it."""
    return [
        c.target_modules if METHODS[c.method.name].uses_target_modules else "all-linear"
        for c in configurations
    ]


def _one_hot(names: Sequence[str], choices: Sequence[str]) -> Floats:
    place = {choice: index for index, choice in enumerate(choices)}
    rows = np.array([place[name] for name in names], dtype=np.intp)
    one_hot: Floats = np.eye(len(choices), dtype=np.float64)[rows]
    return one_hot
