"""A made-up world of runs whose rule is known, so that learners can be held to the truth.

The best learning rate and rank grow with the number of examples, and methods differ by the kind
of data; more is forgotten at higher rates. In a world that is not `learnable` they are drawn anew
for every dataset instead.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import log2

import numpy as np

from metadata.device_constants import Calibration, as_measured
from metadata.footprint import plan
from metadata.priors import usual_rate
from metadata.records import (
    Choice,
    Configuration,
    Costs,
    DatasetProfile,
    Device,
    Lengths,
    ModelProfile,
    OptimizerChoice,
    Origin,
    Run,
    Scores,
    Task,
)
from metadata.space import default_configuration, sample, width_rule_configuration
from metadata.step_time import DeviceConstants, expected_constants

BASE_LOSS = 4.0
NOISE = 0.01
TIME_FACTOR = 1.7  # the machine of this world is that much slower than the formula
MEMORY_FACTOR = 1.1
MODEL = ModelProfile(
    id="world-tiny",
    family="llama",
    parameters=1_400_000,
    layers=4,
    hidden_size=128,
    heads=4,
    key_value_heads=4,
    head_size=32,
    mlp_width=384,
    vocabulary=4096,
    context_tokens=512,
    tied_embeddings=True,
)
DEVICE = Device(
    name="world CPU",
    kind="cpu",
    memory_bytes=8 * 2**30,
    bf16_tflops=0.1,
    bandwidth_gb_per_second=20,
    launch_microseconds=5,
)
KINDS = ("classification", "extraction", "generation")


@dataclass(frozen=True)
class Rule:
    """What is best on one pair, in doublings, and how much a method loses there."""

    rate: float
    rank: float
    losses: dict[str, float]


# The world's own choices: what is added to the tables changes nothing in it.
METHODS = ("lora", "rslora", "dora", "ia3", "bitfit", "full")
OPTIMIZERS = ("adamw", "lion")


def make_runs(
    *,
    datasets: int = 12,
    sizes: Sequence[int] = (60, 1000),
    extras: int = 6,
    seed: int = 0,
    learnable: bool = True,
    model: ModelProfile = MODEL,
) -> list[Run]:
    """Return a core run everywhere, some of it twice, and other configurations beside it."""
    rng = np.random.default_rng(seed)
    runs: list[Run] = []
    for number in range(datasets):
        strange = _strange_rule(rng)
        for size in sizes:
            task = make_task(number, size, model=model)
            rule = _rule(task) if learnable else strange
            core = core_configurations(task)
            drawn = sample(model, count=extras, rng=rng, methods=METHODS, optimizers=OPTIMIZERS)
            for place, one in enumerate([*core, *core[:5], *drawn]):
                is_core = place < len(core) + 5
                again = one.model_copy(update={"seed": int(place >= len(core))})
                runs.append(make_run(task, again, rule, rng=rng, core=is_core))
    return runs


def make_task(number: int, size: int, *, model: ModelProfile = MODEL) -> Task:
    """Return the task of one dataset at one size."""
    rng = np.random.default_rng(1000 + number)
    kind = KINDS[number % len(KINDS)]
    prompt, completion = int(rng.integers(40, 300)), int(rng.integers(5, 120))
    labels = 8 if kind == "classification" else size
    return Task(
        model=model,
        dataset=DatasetProfile(
            name=f"world-{number}",
            group=f"world-{number:02d}",
            sha256=hashlib.sha256(f"{number} {size}".encode()).hexdigest(),
            kind=kind,
            examples=size,
            prompt_bytes=_lengths(prompt),
            completion_bytes=_lengths(completion),
            distinct_words=int(20 * size**0.6),
            repeated_word_fraction=0.6,
            distinct_completions=labels,
            completion_entropy_bits=log2(labels),
            duplicate_fraction=0.0,
            compression_ratio=float(rng.uniform(0.3, 0.5)),
        ),
        device=DEVICE,
    )


def core_configurations(task: Task) -> list[Configuration]:
    """Return the same 16 configurations for every task, rates by the width rule."""
    made = [
        _configuration(task, method, rank, ratio)
        for method in ("lora", "dora")
        for rank in (4, 64)
        for ratio in (0.25, 1.0, 4.0)
    ]
    made += [_configuration(task, "ia3", None, ratio) for ratio in (0.5, 2.0)]
    return [*made, default_configuration(task), width_rule_configuration(task)]


def make_run(
    task: Task, configuration: Configuration, rule: Rule, *, rng: np.random.Generator, core: bool
) -> Run:
    """Return the run of a configuration; a very high rate diverges."""
    ratio = log2(_ratio(configuration, task))
    diverged = ratio > 3.5
    gain = true_gain(configuration, task, rule) + float(rng.normal(0.0, NOISE))
    planned = plan(configuration, task)
    name = f"{task.pair} {configuration.key} {configuration.seed} {core}"
    seconds = TIME_FACTOR * planned.train_seconds * float(rng.lognormal(0.0, 0.1))
    costs = Costs(
        train_seconds=seconds,
        eval_seconds=1.0,
        train_cpu_seconds=seconds,
        eval_cpu_seconds=1.0,
        peak_tensor_bytes=int(MEMORY_FACTOR * planned.peak_bytes * rng.lognormal(0.0, 0.02)),
        peak_device_bytes=10**9,
        trained_tokens=planned.tokens,
        steps=planned.steps,
        trainable_parameters=planned.trainable_parameters,
    )
    loss = BASE_LOSS - gain
    forgotten = 0.2 + 0.1 * ratio
    scores = Scores(base_loss=BASE_LOSS, best_loss=loss, last_loss=loss, forgotten=forgotten)
    return Run(
        id=hashlib.sha256(name.encode()).hexdigest()[:24],
        task=task,
        configuration=configuration,
        state="diverged" if diverged else "succeeded",
        reason="loss is NaN" if diverged else "",
        scores=None if diverged else scores,
        costs=None if diverged else costs,
        core=core,
        origin=Origin(source="worker"),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def true_gain(configuration: Configuration, task: Task, rule: Rule) -> float:
    """Return the nats that a configuration gains, but for noise."""
    rank = configuration.method.values.get("r", 8)
    assert isinstance(rank, int)
    penalty = 0.05 * (log2(_ratio(configuration, task)) - rule.rate) ** 2
    penalty += 0.03 * (log2(rank) - rule.rank) ** 2
    return float(np.exp(-penalty - rule.losses.get(configuration.method.name, 0.1)))


def _rule(task: Task) -> Rule:
    few = task.dataset.examples < 300
    methods = {
        "classification": {"lora": 0.05, "dora": 0.0, "ia3": 0.15},
        "extraction": {"lora": 0.0, "dora": 0.1, "ia3": 0.1},
        "generation": {"lora": 0.1, "dora": 0.05, "ia3": 0.0},
    }
    return Rule(
        rate=-2.0 if few else 1.5,
        rank=2.0 if few else 5.5,
        losses=methods[task.dataset.kind],
    )


def _strange_rule(rng: np.random.Generator) -> Rule:
    losses = dict(zip(("lora", "dora", "ia3"), rng.uniform(0, 0.2, 3).tolist(), strict=True))
    return Rule(rate=rng.uniform(-2.5, 2.0), rank=rng.uniform(2.0, 6.0), losses=losses)


def _ratio(configuration: Configuration, task: Task) -> float:
    rate = configuration.optimizer.learning_rate
    assert rate is not None
    return rate / usual_rate(configuration.method.name, configuration.optimizer.name, task.model)


def _configuration(task: Task, method: str, rank: int | None, ratio: float) -> Configuration:
    values = {} if rank is None else {"r": rank, "lora_alpha": 2 * rank, "lora_dropout": 0.0}
    return Configuration(
        method=Choice.model_validate({"name": method, **values}),
        optimizer=OptimizerChoice(
            name="adamw", learning_rate=ratio * usual_rate(method, "adamw", task.model)
        ),
        batch_size=8,
        epochs=3.0,
        max_length_tokens=256,
    )


def _lengths(mean: int) -> Lengths:
    return Lengths(mean=mean, p50=mean, p90=2 * mean, p99=3 * mean, max=4 * mean)


def times_slower(device: Device, factor: float) -> Calibration:
    """Return what was measured of a device that is slower than is usual of it."""
    usual = expected_constants(device)
    constants = DeviceConstants.model_validate(
        {
            **usual.model_dump(),
            "bf16_flops_per_second": usual.bf16_flops_per_second / factor,
            "fp32_flops_per_second": usual.fp32_flops_per_second / factor,
            "bytes_per_second": usual.bytes_per_second / factor,
            "launch_seconds": usual.launch_seconds * factor,
        }
    )
    return Calibration(
        device=as_measured(device, constants),
        constants=constants,
        measured_at=datetime(2026, 1, 2, tzinfo=UTC),
        processor="a processor",
        versions={},
    )
