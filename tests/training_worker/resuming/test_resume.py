"""A run that goes on from a checkpoint is the run that nothing disturbed, bit for bit."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from transformers import AutoConfig

from metadata.features.model import profile_model
from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS
from metadata.optimizers.spec import OptimizerSpec
from metadata.parameters import defaults
from metadata.records import Configuration
from metadata.space import exists, sample
from training_worker.request import RunRequest, RunResult
from training_worker.resuming.keeper import Preempted
from training_worker.run import run

ON_A_CPU = [spec for spec in OPTIMIZERS.values() if not spec.needs_cuda]
STOP_AFTER = 7  # of 12 steps: between two evaluations, with a best that is not the last


def asked(spec: OptimizerSpec) -> dict[str, object]:
    rate = {"learning_rate": 1e-2 * spec.rate_factor} if spec.has_learning_rate else {}
    schedule = spec.schedules[0] if spec.schedules else "linear"
    values = defaults(spec.parameters)
    if spec.kind == "population":
        values |= {"intrinsic_dimension": 20, "population": 4}
    return {
        "optimizer": {"name": spec.name, **rate, **values},
        "schedule": {"name": schedule, "warmup_fraction": 0.2},
        "method": {"name": "lora", "r": 4, "lora_alpha": 8, "lora_dropout": 0.1},
        **({"target_modules": "qk"} if spec.kind == "population" else {}),
    }


def configuration(method: str) -> Configuration:
    values = {"name": method} | defaults(METHODS[method].parameters)
    return Configuration.model_validate(
        {"method": values, "optimizer": {"name": "adamw", "learning_rate": 1e-3}}
    )


def suited(method: str, base_model: str) -> dict[str, object]:
    """Return values of a method that go with a small model, with dropout where it has some."""
    profile = profile_model(AutoConfig.from_pretrained(base_model).to_dict(), id="tiny")
    chosen = configuration(method)
    if not exists(chosen, profile):
        rng = np.random.default_rng(1)
        chosen = sample(profile, count=50, rng=rng, methods=[method], optimizers=["adamw"])[0]
    values = chosen.method.model_dump()
    dropout = {"lora_dropout": 0.1} if "lora_dropout" in values else {}
    return {
        "method": values | dropout,
        "target_modules": chosen.target_modules,
        "optimizer": {"name": "adamw", "learning_rate": 1e-3},
    }


def stopping_after(steps: int) -> tuple[Callable[..., None], Callable[[], bool]]:
    taken: list[int] = []
    return lambda step: taken.append(step.step), lambda: bool(taken) and taken[-1] >= steps


def stopped_and_resumed(request: RunRequest) -> RunResult:
    on_step, should_stop = stopping_after(STOP_AFTER)
    with pytest.raises(Preempted):
        run(request, on_step=on_step, should_stop=should_stop)
    return run(replace(request, attempt=2))


def same(one: RunResult, other: RunResult) -> None:
    assert one.state == other.state == "succeeded", (one.reason, other.reason)
    assert one.curve == other.curve
    assert one.scores == other.scores
    assert one.costs.trained_tokens == other.costs.trained_tokens
    files = [next(result.adapter_folder.glob("*.safetensors")) for result in (one, other)]
    weights, others = map(load_file, files)
    assert weights.keys() == others.keys()
    assert all(bool((weights[name] == others[name]).all()) for name in weights)


@pytest.fixture
def whole_and_resumed(make_request, tmp_path: Path) -> Callable[..., tuple[RunResult, RunResult]]:
    def both(method: str = "lora", /, **changes: object) -> tuple[RunResult, RunResult]:
        request = make_request(method, output_folder=tmp_path / "whole", **changes)
        folders = {"output_folder": tmp_path / "resumed", "checkpoint_folder": tmp_path / "kept"}
        return run(request), stopped_and_resumed(replace(request, **folders))

    return both


@pytest.mark.parametrize("spec", ON_A_CPU, ids=lambda spec: spec.name)
def test_every_optimizer_goes_on_bit_for_bit(spec, whole_and_resumed) -> None:
    same(*whole_and_resumed(**asked(spec)))


@pytest.mark.parametrize("method", ["lora", "dora", "adalora", "full"])
def test_a_method_goes_on_bit_for_bit(method, whole_and_resumed, tiny_llama) -> None:
    same(*whole_and_resumed(**suited(method, tiny_llama)))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_method_goes_on_bit_for_bit(method, whole_and_resumed, tiny_llama) -> None:
    same(*whole_and_resumed(**suited(method, tiny_llama)))


def test_mixed_precision_goes_on_bit_for_bit(whole_and_resumed) -> None:
    same(*whole_and_resumed("full", precision="bf16"))


def test_packed_rows_go_on_bit_for_bit(whole_and_resumed) -> None:
    same(*whole_and_resumed("lora", packing=True))
