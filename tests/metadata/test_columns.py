"""Columns of configurations against the same configurations one by one."""

from dataclasses import asdict

import numpy as np
import pytest

from metadata.columns import fastest_plans, make_columns, plans
from metadata.examples import Example
from metadata.features.dataset import profile_dataset
from metadata.features.device import find_device
from metadata.features.model import find_model
from metadata.footprint import plan, usable_bytes
from metadata.methods import METHODS
from metadata.methods.spec import MethodSpec
from metadata.optimizers import OPTIMIZERS
from metadata.parameters import Categorical, Float, Parameter
from metadata.records import Configuration, Scalar, Task

OF_EACH = 7  # configurations of a method: 420 in all
MODULES = ("qv", "qk", "attention", "mlp", "all-linear")
EXAMPLES = [Example(None, f"question {n} " * (2 + n % 90), f"answer {n} " * 9) for n in range(300)]
DATASET = profile_dataset(EXAMPLES, name="questions")
CPU = find_device("cpu").model_copy(update={"memory_bytes": 8 * 2**30})
TASKS = [
    Task(model=find_model(model), dataset=DATASET, device=device)
    for model, device in (
        ("meta-llama/Llama-3.2-3B", find_device("NVIDIA L40S")),
        ("google/gemma-2-27b", find_device("NVIDIA A100 80GB", count=4)),
        ("gpt2-xl", CPU),
    )
]


def value(parameter: Parameter, rng: np.random.Generator) -> Scalar:
    if isinstance(parameter, Categorical):
        return parameter.choices[rng.integers(len(parameter.choices))]
    lower, upper = parameter.lower, parameter.upper
    drawn = float(np.exp(rng.uniform(np.log(lower), np.log(upper)))) if parameter.log else None
    if isinstance(parameter, Float):
        return drawn or float(rng.choice([lower, rng.uniform(lower, upper)]))
    return round(drawn) if drawn else int(rng.integers(lower, upper + 1))


def draw(spec: MethodSpec, rng: np.random.Generator) -> Configuration:
    fit = [one for one in OPTIMIZERS.values() if not one.methods or spec.name in one.methods]
    optimizer = fit[rng.integers(len(fit))]
    return Configuration.model_validate(
        {
            "method": {"name": spec.name, **{p.name: value(p, rng) for p in spec.parameters}},
            "optimizer": {
                "name": optimizer.name,
                **{p.name: value(p, rng) for p in optimizer.parameters},
            },
            "target_modules": str(rng.choice(MODULES)),
            "batch_size": int(rng.choice([1, 3, 8, 24, 32, 128, 1000])),
            "epochs": float(rng.choice([0.3, 1, 5.5])),
            "max_length_tokens": int(rng.choice([64, 512, 2048, 10_000])),
            "loss_on": str(rng.choice(["completion", "all"])),
            "precision": str(rng.choice(["fp32", "bf16"])),
            "quantization": str(rng.choice(["none", "int8", "nf4"])),
            "gradient_checkpointing": spec.checkpoints and bool(rng.integers(2)),
            "packing": bool(rng.integers(4) == 0),
            "attention": str(rng.choice(["sdpa", "eager", "flash_attention_2"])),
        }
    )


@pytest.fixture(scope="module")
def configurations() -> list[Configuration]:
    rng = np.random.default_rng(0)
    drawn = [draw(spec, rng) for spec in METHODS.values() for _ in range(OF_EACH)]
    return [drawn[number] for number in rng.permutation(len(drawn))]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.model.id)
def test_columns_have_the_plans_of_one_by_one_to_the_last_digit(
    configurations: list[Configuration], task: Task
) -> None:
    found = plans(make_columns(configurations), task)

    alone = [plan(one, task) for one in configurations]
    assert [asdict(found[number]) for number in range(len(found))] == [asdict(one) for one in alone]
    assert {one.fits for one in alone} == {True, False}
    assert len({one.micro_batch_size for one in alone}) > 3


def test_columns_are_made_once_for_any_model(configurations: list[Configuration]) -> None:
    kept = make_columns(configurations)

    for _ in range(2):
        for task in TASKS[:2]:
            assert plans(kept, task)[7] == plan(configurations[7], task)


def test_plans_hold_plain_numbers_of_the_kinds_of_a_plan(
    configurations: list[Configuration],
) -> None:
    found = asdict(plans(make_columns(configurations[:3]), TASKS[0])[1])

    alone = asdict(plan(configurations[1], TASKS[0]))
    assert {name: type(one) for name, one in found.items()} == {
        name: type(one) for name, one in alone.items()
    }


def test_memory_that_is_given_limits_the_micro_batches(configurations: list[Configuration]) -> None:
    limit = usable_bytes(TASKS[0].device) // 4

    found = plans(make_columns(configurations), TASKS[0], memory_bytes=limit)

    assert (found.peak_bytes[found.fits] <= limit).all()
    assert found[0] == plan(configurations[0], TASKS[0], memory_bytes=limit)


def test_no_configurations_have_no_plans() -> None:
    checkpoints_N, fastest = fastest_plans(make_columns([]), TASKS[0])

    assert len(plans(make_columns([]), TASKS[0])) == len(fastest) == len(checkpoints_N) == 0


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.model.id)
def test_layers_run_again_where_that_alone_fits_or_takes_less_time(
    configurations: list[Configuration], task: Task
) -> None:
    checkpoints_N, fastest = fastest_plans(make_columns(configurations), task)

    for number, one in enumerate(configurations):
        off, on = (one.model_copy(update={"gradient_checkpointing": is_on}) for is_on in (0, 1))
        options = [plan(off, task)]
        if METHODS[one.method.name].checkpoints:
            options.append(plan(on, task))
        fitting = [option for option in options if option.fits]
        if fitting:
            best = min(fitting, key=lambda option: option.train_seconds)
        else:
            best = min(options, key=lambda option: option.peak_bytes)
        assert fastest[number] == best
        assert checkpoints_N[number] == (best != options[0])
    assert checkpoints_N.any()
    assert not checkpoints_N.all()


def test_columns_of_a_model_too_large_for_int64_do_not_wrap_around(
    configurations: list[Configuration],
) -> None:
    sizes = {"hidden_size": 10**7, "mlp_width": 4 * 10**7, "heads": 10**5, "parameters": 10**15}
    huge = TASKS[0].model.model_copy(update=sizes)
    task = TASKS[0].model_copy(update={"model": huge})
    boft = [one for one in configurations if one.method.name in {"boft", "hra", "dora"}]

    found = plans(make_columns(boft), task)

    seconds = [plan(one, task).train_seconds for one in boft]
    assert found.train_seconds.tolist() == pytest.approx(seconds, rel=1e-12)
