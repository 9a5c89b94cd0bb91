"""Every entry of the optimizer table and of the schedule table keeps its promise."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import pairwise

import pytest
import torch
from torch import nn

from metadata.architectures import targeted
from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS, SCHEDULES
from metadata.optimizers.spec import OptimizerSpec, ScheduleSpec
from metadata.parameters import defaults
from metadata.records import Choice, Configuration, ModelProfile, OptimizerChoice, ScheduleChoice
from training_worker.meter import TensorMeter
from training_worker.optimizer import build_optimizer, build_schedule
from training_worker.optimizers.averaging import to_be_kept

STEPS = 200
LLAMA = ModelProfile(
    id="tiny",
    family="llama",
    parameters=32_032,
    layers=2,
    hidden_size=32,
    heads=4,
    key_value_heads=2,
    head_size=8,
    mlp_width=48,
    vocabulary=258,
    context_tokens=128,
    tied_embeddings=False,
)
RANK, WIDTH = 16, 512
NEEDS_CUDA = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not (torch.cuda.is_available() and find_spec("bitsandbytes")),
        reason="needs an NVIDIA GPU and bitsandbytes",
    ),
]
GRADIENT = [
    pytest.param(spec, id=spec.name, marks=NEEDS_CUDA if spec.needs_cuda else ())
    for spec in OPTIMIZERS.values()
    if spec.kind == "gradient"
]


def choice(spec: OptimizerSpec) -> OptimizerChoice:
    rate = 0.05 * spec.rate_factor if spec.has_learning_rate else None
    return OptimizerChoice.model_validate(
        {"name": spec.name, "learning_rate": rate} | defaults(spec.parameters)
    )


def configuration(chosen: OptimizerChoice, method: str = "lora") -> Configuration:
    values = defaults(METHODS[method].parameters)
    named = Choice.model_validate({"name": method, **values})
    return Configuration(method=named, optimizer=chosen)


def factors(spec: OptimizerSpec, *, vector: bool = True) -> dict[str, nn.Parameter]:
    """Return LoRA's two factors, under PEFT's names, and a vector beside them."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"lora_A": (RANK, WIDTH), "lora_B": (WIDTH, RANK)} | (
        {"gain": (64,)} if vector else {}
    )
    device = "cuda" if spec.needs_cuda else "cpu"
    return {
        f"layers.0.q_proj.{name}.default.weight": nn.Parameter(
            0.05 * torch.randn(shape, generator=generator).to(device)
        )
        for name, shape in shapes.items()
    }


def build(
    weights: Mapping[str, nn.Parameter], spec: OptimizerSpec, asked: OptimizerChoice
) -> tuple[torch.optim.Optimizer, dict[str, nn.Parameter]]:
    """Return the optimizer, and the weights that are left to train."""
    held = {n: w for n, w in weights.items() if any(part in n for part in spec.frozen)}
    rest = {name: weight for name, weight in weights.items() if name not in held}
    return build_optimizer(rest, configuration(asked), held), rest


def distance(weights: Mapping[str, nn.Parameter]) -> torch.Tensor:
    """Return a quadratic of all weights, at its lowest where they are all 0.5."""
    return torch.stack([((weight - 0.5) ** 2).sum() for weight in weights.values()]).sum()


def take_steps(
    optimizer: torch.optim.Optimizer, weights: Mapping[str, nn.Parameter], *, steps: int
) -> None:
    for _ in range(steps):
        distance(weights).backward()
        nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad()


@contextmanager
def measured_state(weights: Mapping[str, nn.Parameter]) -> Iterator[list[int]]:
    """Count the bytes that live on after the block, the weights apart."""
    held: list[int] = []
    with TensorMeter() as meter:
        meter.add(weights.values())
        before = meter.live_bytes
        yield held
        held.append(meter.live_bytes - before)


@pytest.mark.parametrize("spec", GRADIENT)
def test_it_lowers_a_quadratic(spec: OptimizerSpec) -> None:
    optimizer, weights = build(factors(spec), spec, choice(spec))
    before = float(distance(weights).detach())

    take_steps(optimizer, weights, steps=STEPS)

    with to_be_kept(optimizer):
        assert float(distance(weights).detach()) < 0.5 * before


@pytest.mark.parametrize("spec", GRADIENT)
def test_its_state_takes_the_bytes_that_its_entry_says(spec: OptimizerSpec) -> None:
    every = factors(spec, vector=False)

    with measured_state(every) as held:
        optimizer, weights = build(every, spec, choice(spec))
        take_steps(optimizer, weights, steps=2)

    numbers = sum(weight.numel() for weight in weights.values())
    said = spec.state_bytes * (2 / RANK if spec.factored else 1) * numbers
    scalars = 8 * 512  # step counts and the like, each in a block of its own
    if spec.factored:
        assert 0.5 * said <= held[0] <= said + scalars  # a matrix's longer side is the least of it
    else:
        assert said <= held[0] <= said + scalars


@pytest.mark.parametrize("spec", GRADIENT)
def test_a_frozen_weight_is_no_part_of_what_it_trains(spec: OptimizerSpec) -> None:
    if spec.trainable is None:
        assert not spec.frozen
        return
    values, targets = defaults(METHODS["lora"].parameters), targeted(LLAMA, "all-linear")

    trained = spec.trainable(values, targets, LLAMA)

    assert spec.frozen
    assert 0 < trained < METHODS["lora"].trainable(values, targets, LLAMA)


@pytest.mark.parametrize("spec", GRADIENT)
def test_weight_decay_reaches_every_group_or_is_not_offered(spec: OptimizerSpec) -> None:
    offered = any(parameter.name == "weight_decay" for parameter in spec.parameters)
    asked = choice(spec).model_copy(update={"weight_decay": 0.07 if offered else 0.0})

    optimizer, _ = build(factors(spec), spec, asked)

    decays = {group.get("weight_decay", 0.0) for group in optimizer.param_groups}
    assert decays == {0.07 if offered else 0.0}


@pytest.mark.parametrize("spec", GRADIENT)
def test_weights_that_rest_elsewhere_than_at_0_are_not_decayed(spec: OptimizerSpec) -> None:
    if spec.methods and "ia3" not in spec.methods:
        pytest.skip("this optimizer does not go with ia3")
    asked = choice(spec)
    if any(parameter.name == "weight_decay" for parameter in spec.parameters):
        asked = asked.model_copy(update={"weight_decay": 0.07})
    weights = {"q.ia3_l.default": nn.Parameter(torch.ones(2))} | factors(spec)

    optimizer = build_optimizer(weights, configuration(asked, "ia3"))

    decays = [
        group.get("weight_decay", 0.0)
        for group in optimizer.param_groups
        if any(weight is weights["q.ia3_l.default"] for weight in group["params"])
    ]
    assert decays == [0.0]


@pytest.mark.parametrize("spec", OPTIMIZERS.values(), ids=lambda spec: spec.name)
def test_an_entry_names_methods_and_schedules_of_the_tables(spec: OptimizerSpec) -> None:
    assert set(spec.methods) <= set(METHODS)
    assert set(spec.schedules) <= set(SCHEDULES)
    assert spec.paper
    assert spec.rate_source


def scheduled_rates(spec: ScheduleSpec, *, warmup_fraction: float) -> list[float]:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    values = {"name": spec.name, "warmup_fraction": warmup_fraction} | defaults(spec.parameters)
    schedule = build_schedule(optimizer, ScheduleChoice.model_validate(values), steps=STEPS)
    rates = []
    for _ in range(STEPS):
        rates.append(float(schedule.get_last_lr()[0]))
        optimizer.step()
        schedule.step()
    return rates


@pytest.mark.parametrize("spec", SCHEDULES.values(), ids=lambda spec: spec.name)
def test_a_schedule_starts_at_the_rate_and_ends_where_it_says(spec: ScheduleSpec) -> None:
    rates = scheduled_rates(spec, warmup_fraction=0.0)

    assert rates[0] == 1.0
    assert spec.ends_at <= rates[-1] < spec.ends_at + 0.05
    assert all(later <= earlier for earlier, later in pairwise(rates))
    assert spec.paper


@pytest.mark.parametrize("spec", SCHEDULES.values(), ids=lambda spec: spec.name)
def test_a_warm_up_rises_to_the_rate_over_its_share_of_the_steps(spec: ScheduleSpec) -> None:
    rates = scheduled_rates(spec, warmup_fraction=0.1)

    assert rates[:20] == sorted(rates[:20])
    assert 0.0 < rates[0] < 0.1
    assert max(rates) == rates[20] == 1.0
