"""What of a configuration carries over to another task: its name, and its features.

Axes: C configurations, F features.
"""

import hashlib
from collections.abc import Mapping, Sequence
from math import log2

import numpy as np

from metadata.arrays import Floats
from metadata.features import describe
from metadata.methods import METHODS
from metadata.priors import rate_ratio
from metadata.records import (
    Configuration,
    DatasetProfile,
    Device,
    Lengths,
    ModelProfile,
    Scalar,
    Task,
)

DIGITS = 9  # of features: the last bits of floats must not tell configurations apart
RATE_STEPS = 32  # steps of a doubling, 2 % each: rates nearer than that count as one

# What configurations are described on when the task must not matter: any fixed task would do.
_USUAL_LENGTHS = Lengths(mean=200, p50=180, p90=400, p99=800, max=1000)
REFERENCE = Task(
    model=ModelProfile(
        id="reference",
        family="llama",
        parameters=1_000_000_000,
        layers=16,
        hidden_size=2048,
        heads=32,
        key_value_heads=8,
        head_size=64,
        mlp_width=8192,
        vocabulary=32_000,
        context_tokens=4096,
        tied_embeddings=True,
    ),
    dataset=DatasetProfile(
        name="reference",
        group="reference",
        sha256="0" * 64,
        kind="generation",
        examples=1000,
        prompt_bytes=_USUAL_LENGTHS,
        completion_bytes=_USUAL_LENGTHS,
        distinct_words=5000,
        repeated_word_fraction=0.8,
        distinct_completions=1000,
        completion_entropy_bits=9.0,
        duplicate_fraction=0.0,
        compression_ratio=0.4,
    ),
    device=Device(
        name="reference",
        kind="cuda",
        memory_bytes=80 * 2**30,
        bf16_tflops=300,
        bandwidth_gb_per_second=2000,
        launch_microseconds=10,
    ),
)


def relative_key(configuration: Configuration, model: ModelProfile) -> str:
    """Name the choices of a configuration that carry over to another base model.

    Left out is what only suits data and device: seed, length, loss, precision, checkpointing.
    """
    method, optimizer, schedule = (
        configuration.method,
        configuration.optimizer,
        configuration.schedule,
    )
    ratio = rate_ratio(configuration, model)
    targeted = METHODS[method.name].uses_target_modules
    choices = (
        *(method.name, *_values(method.values)),
        configuration.target_modules if targeted else "",
        *(optimizer.name, *_values(optimizer.values), _plain(optimizer.weight_decay)),
        round(RATE_STEPS * log2(ratio)),
        *(schedule.name, *_values(schedule.values), _plain(schedule.warmup_fraction)),
        *(configuration.batch_size, _plain(configuration.epochs)),
        *(configuration.quantization, configuration.packing, configuration.keep),
        configuration.gradient_clipping,
    )
    return hashlib.sha256(repr(choices).encode()).hexdigest()[:16]


def _values(values: Mapping[str, Scalar]) -> list[tuple[str, str]]:
    return [(name, _plain(value)) for name, value in sorted(values.items())]


def _plain(value: Scalar) -> str:
    """Return a value as text, a number the same whether it came as 0 or 0.0."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:.6g}" if is_number else str(value)


def describe_alone(
    configurations: Sequence[Configuration], models: Sequence[ModelProfile]
) -> Floats:
    """Return features of configurations apart from any task: on the reference task, C x F."""
    return np.round(describe(REFERENCE, configurations, models), DIGITS)
