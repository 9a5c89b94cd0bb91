"""Runs to test with."""

from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest

from metadata.records import (
    Choice,
    Configuration,
    Costs,
    DatasetProfile,
    Device,
    Lengths,
    Measurement,
    ModelProfile,
    OptimizerChoice,
    Origin,
    Run,
    Scores,
    Task,
)

FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
LENGTHS = Lengths(mean=11.5, p50=10, p90=20, p99=30, max=40)
MODEL = ModelProfile(
    id="peftwise-tiny",
    family="llama",
    parameters=1_000_000,
    layers=4,
    hidden_size=128,
    heads=4,
    key_value_heads=2,
    head_size=32,
    mlp_width=384,
    vocabulary=2048,
    context_tokens=512,
    tied_embeddings=True,
)
DATASET = DatasetProfile(
    name="trec",
    group="trec",
    sha256="ab" * 32,
    kind="classification",
    examples=200,
    prompt_bytes=LENGTHS,
    completion_bytes=LENGTHS,
    distinct_words=300,
    repeated_word_fraction=0.5,
    distinct_completions=6,
    completion_entropy_bits=2.5,
    duplicate_fraction=0.0,
    compression_ratio=2.5,
)
DEVICE = Device(
    name="CPU",
    kind="cpu",
    memory_bytes=8 * 2**30,
    bf16_tflops=0.1,
    bandwidth_gb_per_second=20,
    launch_microseconds=5,
)
COSTS = Costs(
    train_seconds=12.25,
    eval_seconds=3.5,
    train_cpu_seconds=12.0,
    eval_cpu_seconds=3.25,
    peak_tensor_bytes=50_000_000,
    peak_device_bytes=600_000_000,
    trained_tokens=123_456,
    steps=75,
    trainable_parameters=40_960,
)


class MakeRun(Protocol):
    """Make the run of a number; keywords replace its fields."""

    def __call__(self, number: int = 0, *, points: int = 3, **fields: Any) -> Run: ...


def _make_run(number: int = 0, *, points: int = 3, **fields: Any) -> Run:
    measured = (
        Measurement(name="loss", step=step, value=3 - step / 7, split="train")
        for step in range(points)
    )
    values: dict[str, Any] = {
        "id": f"run-{number:05d}",
        "task": Task(model=MODEL, dataset=DATASET, device=DEVICE),
        "configuration": Configuration(
            method=Choice(name="lora", r=8, lora_alpha=16, lora_dropout=0.05),
            optimizer=OptimizerChoice(name="adamw", learning_rate=2e-4, weight_decay=0.01),
        ),
        "state": "succeeded",
        "curve": tuple(measured),
        "scores": Scores(base_loss=3.1, best_loss=2.0 + (number % 7) / 9, last_loss=2.9),
        "costs": COSTS,
        "versions": {"torch": "2.13.0", "peft": "0.21.2"},
        "origin": Origin(source="own", detail="campaign"),
        "created_at": FIRST_DAY + timedelta(seconds=number),
    }
    return Run(**(values | fields))


@pytest.fixture
def make_run() -> MakeRun:
    """Return a maker of runs."""
    return _make_run
