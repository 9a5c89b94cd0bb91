"""The core: configurations fixed before any result, the same on every dataset.

Rates are multiples of `priors.usual_rate`, so the core serves base models of every width. Epochs
are the same on every dataset, so that a configuration means one thing: it is what a past winner
carries over.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS
from metadata.parameters import defaults
from metadata.priors import usual_rate
from metadata.records import (
    Choice,
    Configuration,
    OptimizerChoice,
    Scalar,
    ScheduleChoice,
    TargetModules,
    Task,
)
from metadata.space import check, default_configuration, exists, width_rule_configuration

MAX_LENGTH_TOKENS = 256
DEFAULT, WIDTH_RULE = "default", "width-rule"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One configuration of the core but for the base model."""

    method: str
    values: Mapping[str, Scalar] = field(default_factory=dict)
    target_modules: TargetModules = "all-linear"
    rate_ratio: float = 1.0
    optimizer: str = "adamw"
    schedule: str = "linear"
    batch_size: int = 8
    epochs: float = 3.0


def _rank(r: int, alpha: int | None = None) -> dict[str, Scalar]:
    return {"r": r, "lora_alpha": 2 * r if alpha is None else alpha, "lora_dropout": 0.0}


ENTRIES: Mapping[str, Entry] = {
    "lora-high-rate": Entry(method="lora", values=_rank(16), rate_ratio=3.0, epochs=5),
    "lora-low-rate": Entry(method="lora", values=_rank(16), rate_ratio=0.3, epochs=10),
    "lora-rank-2": Entry(method="lora", values=_rank(2), batch_size=4, epochs=10),
    "lora-small-mlp": Entry(
        method="lora",
        values=_rank(4),
        target_modules="mlp",
        rate_ratio=0.3,
        schedule="cosine",
        batch_size=4,
        epochs=15,
    ),
    "lora-mlp": Entry(
        method="lora",
        values=_rank(8),
        target_modules="mlp",
        schedule="constant_with_cooldown",
        batch_size=4,
        epochs=8,
    ),
    "lora-qv": Entry(method="lora", values=_rank(8), target_modules="qv", epochs=8),
    "lora-rank-64": Entry(method="lora", values=_rank(64), schedule="cosine", epochs=5),
    "lora-lion": Entry(method="lora", values=_rank(32), optimizer="lion", epochs=5),
    "lora-short": Entry(method="lora", values=_rank(16), batch_size=4, epochs=1),
    "rslora": Entry(
        method="rslora", values=_rank(32, 32), schedule="cosine", batch_size=4, epochs=5
    ),
    "rslora-mlp": Entry(
        method="rslora", values=_rank(8), target_modules="mlp", rate_ratio=0.3, epochs=8
    ),
    "dora": Entry(method="dora", values=_rank(8), schedule="cosine", batch_size=4, epochs=5),
    "dora-attention": Entry(
        method="dora", values=_rank(4), target_modules="attention", rate_ratio=3.0, epochs=8
    ),
    "ia3": Entry(method="ia3", batch_size=4, epochs=10),
    "ia3-mlp": Entry(
        method="ia3",
        target_modules="mlp",
        rate_ratio=3.0,
        schedule="constant_with_cooldown",
        epochs=5,
    ),
    "miss": Entry(method="miss", values={"r": 32}, epochs=5),
    "loha-mlp": Entry(method="loha", values={"r": 8, "alpha": 16}, target_modules="mlp", epochs=8),
    "propulsion": Entry(method="propulsion", batch_size=4, epochs=10),
    "lora-prodigy": Entry(method="lora", values=_rank(8), optimizer="prodigy", epochs=5),
    "bitfit": Entry(method="bitfit", batch_size=4, epochs=10),
    "full": Entry(method="full", schedule="cosine", epochs=4),
    "full-low-rate": Entry(method="full", rate_ratio=0.3, batch_size=4, epochs=8),
}
SCREENING = (WIDTH_RULE, "lora-low-rate", "lora-mlp", "full")  # a dataset that none learns goes


def core_configurations(task: Task) -> dict[str, Configuration]:
    """Return the core on a task by name, the default and the width rule's first.

    What a model is too narrow for is left out.
    """
    configurations = {
        DEFAULT: default_configuration(task),
        WIDTH_RULE: width_rule_configuration(task),
        **{name: _configuration(entry, task) for name, entry in ENTRIES.items()},
    }
    return {
        name: shortened(found, task)
        for name, found in configurations.items()
        if exists(found, task.model)
    }


def shortened(configuration: Configuration, task: Task) -> Configuration:
    """Return a configuration with examples as long as a campaign allows, in fp32 on a CPU."""
    length = min(MAX_LENGTH_TOKENS, task.model.context_tokens)
    precision = "bf16" if task.device.kind == "cuda" else "fp32"
    changed = configuration.model_copy(update={"max_length_tokens": length, "precision": precision})
    check(changed, task.model)
    return changed


def _configuration(entry: Entry, task: Task) -> Configuration:
    rate = usual_rate(entry.method, entry.optimizer, task.model) * entry.rate_ratio
    values = defaults(METHODS[entry.method].parameters) | dict(entry.values)
    of_optimizer = defaults(OPTIMIZERS[entry.optimizer].parameters)
    if OPTIMIZERS[entry.optimizer].has_learning_rate:
        of_optimizer["learning_rate"] = rate
    cooldown = {"cooldown_fraction": 0.2} if entry.schedule == "constant_with_cooldown" else {}
    return Configuration(
        method=Choice.model_validate({"name": entry.method, **values}),
        target_modules=entry.target_modules,
        optimizer=OptimizerChoice.model_validate({"name": entry.optimizer, **of_optimizer}),
        schedule=ScheduleChoice.model_validate(
            {"name": entry.schedule, "warmup_fraction": 0.03, **cooldown}
        ),
        batch_size=entry.batch_size,
        epochs=entry.epochs,
    )
