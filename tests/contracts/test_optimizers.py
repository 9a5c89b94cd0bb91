"""Every entry of the optimizer table and of the schedule table keeps its promise."""

from itertools import pairwise

import pytest
import torch

from metadata.optimizers import OPTIMIZERS, SCHEDULES
from metadata.optimizers.spec import OptimizerSpec, ScheduleSpec
from metadata.parameters import defaults
from metadata.records import Choice, Configuration, OptimizerChoice, ScheduleChoice
from training_worker.optimizer import build_optimizer, build_schedule

STEPS = 200


def choice(spec: OptimizerSpec) -> OptimizerChoice:
    rate = 0.05 * spec.rate_factor if spec.has_learning_rate else None
    return OptimizerChoice.model_validate(
        {"name": spec.name, "learning_rate": rate} | defaults(spec.parameters)
    )


def configuration(chosen: OptimizerChoice) -> Configuration:
    return Configuration(method=Choice(name="lora"), optimizer=chosen)


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


@pytest.mark.parametrize("spec", OPTIMIZERS.values(), ids=lambda spec: spec.name)
def test_it_lowers_a_quadratic(spec: OptimizerSpec) -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    optimizer = build_optimizer({"weight": weight}, configuration(choice(spec)))

    for _ in range(STEPS):
        loss = (weight**2).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    assert float((weight.detach() ** 2).sum()) < 0.5 * 14.0


@pytest.mark.parametrize("spec", OPTIMIZERS.values(), ids=lambda spec: spec.name)
def test_its_state_takes_the_bytes_that_its_entry_says(spec: OptimizerSpec) -> None:
    weight = torch.nn.Parameter(torch.ones(1_000))
    optimizer = build_optimizer({"weight": weight}, configuration(choice(spec)))
    (weight**2).sum().backward()

    optimizer.step()

    state = [value for value in optimizer.state[weight].values() if torch.is_tensor(value)]
    bytes_held = sum(value.nbytes for value in state if value.numel() > 1)
    assert bytes_held == spec.state_bytes * weight.numel()


@pytest.mark.parametrize("spec", OPTIMIZERS.values(), ids=lambda spec: spec.name)
def test_weight_decay_reaches_the_optimizer(spec: OptimizerSpec) -> None:
    asked = choice(spec).model_copy(update={"weight_decay": 0.07})

    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = build_optimizer({"weight": weight}, configuration(asked))

    assert optimizer.param_groups[0]["weight_decay"] == 0.07


def test_weights_that_rest_elsewhere_than_at_0_are_not_decayed() -> None:
    asked = OptimizerChoice(name="adamw", learning_rate=1e-2, weight_decay=0.07)
    ia3 = Configuration(method=Choice(name="ia3"), optimizer=asked)
    weights = {"q.ia3_l.default": torch.nn.Parameter(torch.ones(2))}

    optimizer = build_optimizer(weights, ia3)

    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.0]


@pytest.mark.parametrize("spec", SCHEDULES.values(), ids=lambda spec: spec.name)
def test_a_schedule_starts_at_the_rate_and_ends_near_0(spec: ScheduleSpec) -> None:
    rates = scheduled_rates(spec, warmup_fraction=0.0)

    assert rates[0] == 1.0
    assert 0.0 <= rates[-1] < 0.05
    assert all(later <= earlier for earlier, later in pairwise(rates))


@pytest.mark.parametrize("spec", SCHEDULES.values(), ids=lambda spec: spec.name)
def test_a_warm_up_rises_to_the_rate_over_its_share_of_the_steps(spec: ScheduleSpec) -> None:
    rates = scheduled_rates(spec, warmup_fraction=0.1)

    assert rates[:20] == sorted(rates[:20])
    assert 0.0 < rates[0] < 0.1
    assert max(rates) == rates[20] == 1.0
