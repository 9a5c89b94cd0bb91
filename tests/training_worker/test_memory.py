"""A training step that the device has no room for is taken again in smaller micro-batches."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import isclose

import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook
from transformers import LlamaForCausalLM

from metadata.messages import Limits
from metadata.optimizers import OPTIMIZERS
from metadata.parameters import defaults
from training_worker.request import RunResult, ScoreSettings
from training_worker.run import run
from training_worker.trainer_messages import Notice

LORA = {"name": "lora", "r": 4, "lora_alpha": 8, "lora_dropout": 0.0}
REHEARSED = 2  # steps


@pytest.fixture
def shrink_memory() -> Iterator[Callable[..., None]]:
    """Return what has a model raise as CUDA does, at a call and more rows than `rows` after it.

    A CPU knows no such error: what the device says is played, what follows is not.
    """
    handles = []

    def begin(*, rows: int, after_calls: int, is_training: bool = True) -> None:
        calls = 0

        def count_calls(module: torch.nn.Module, inputs: object) -> None:
            nonlocal calls
            calls += isinstance(module, LlamaForCausalLM) and module.training is is_training

        def refuse(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            is_first = isinstance(module, torch.nn.Embedding) and module.training is is_training
            if is_first and calls > after_calls and len(inputs[0]) > rows:
                raise torch.OutOfMemoryError("CUDA out of memory.")

        handles.extend(map(register_module_forward_pre_hook, (count_calls, refuse)))

    yield begin
    for handle in handles:
        handle.remove()


def loss_of(result: RunResult) -> list[float]:
    return [point.value for point in result.curve if point.name == "loss"]


def test_the_batch_stays_and_so_does_the_curve(make_request, shrink_memory) -> None:
    request = make_request(batch_size=8, micro_batch_size=8, epochs=3, method=LORA)
    whole = run(request)
    notices: list[Notice] = []
    shrink_memory(rows=2, after_calls=REHEARSED + 4)

    result = run(request, on_notice=notices.append)

    assert result.state == "succeeded", result.reason
    assert result.micro_batch_size == 2
    assert [one.data for one in notices] == [
        {"micro_batch_size": 4, "step": 4},
        {"micro_batch_size": 2, "step": 4},
    ]
    for one, other in zip(loss_of(whole), loss_of(result), strict=True):
        assert isclose(one, other, rel_tol=1e-3)
    assert result.costs.trained_tokens == whole.costs.trained_tokens


def test_a_step_taken_again_draws_the_random_numbers_of_the_step(
    make_request, shrink_memory
) -> None:
    request = make_request(batch_size=4, micro_batch_size=4, method=LORA | {"lora_dropout": 0.3})
    shrink_memory(rows=2, after_calls=REHEARSED)  # the first real step is too large
    halved = run(request)

    small = run(replace(request, micro_batch_size=2))

    assert halved.state == "succeeded", halved.reason
    assert halved.micro_batch_size == 2
    assert halved.curve == small.curve


@pytest.mark.parametrize("name", ["mezo", "cma"])
def test_training_without_gradients_goes_on_in_smaller_micro_batches(
    name, make_request, shrink_memory
) -> None:
    values = defaults(OPTIMIZERS[name].parameters)
    if name == "cma":
        values |= {"population": 4, "intrinsic_dimension": 20}
    rate = {"learning_rate": 1e-2} if name == "mezo" else {}
    request = make_request(
        optimizer={"name": name, **rate, **values},
        method=LORA,
        target_modules="qk",
        batch_size=8,
        micro_batch_size=8,
        epochs=10,
        scoring=ScoreSettings(ranked_examples=0, batch_size=4),
    )
    whole = run(request)
    shrink_memory(rows=4, after_calls=30, is_training=False)

    result = run(request)

    assert result.state == "succeeded", result.reason
    assert result.micro_batch_size == 4
    for one, other in zip(loss_of(whole), loss_of(result), strict=True):
        assert isclose(one, other, rel_tol=1e-3)


def test_at_a_micro_batch_of_one_the_run_ends_as_out_of_memory(make_request, shrink_memory) -> None:
    shrink_memory(rows=0, after_calls=REHEARSED + 2)

    result = run(make_request(batch_size=2, micro_batch_size=1, method=LORA))

    assert result.state == "out_of_memory"
    assert "micro-batch of one" in result.reason


def test_a_rehearsal_that_is_too_large_is_told_of(make_request) -> None:
    peak = run(make_request(batch_size=8, micro_batch_size=8)).costs.peak_tensor_bytes
    notices: list[Notice] = []
    limits = Limits(memory_bytes=peak - 1)

    result = run(
        make_request(batch_size=8, micro_batch_size=8, limits=limits), on_notice=notices.append
    )

    assert result.state == "succeeded", result.reason
    assert [one.level for one in notices] == ["warn"] * len(notices)
    assert notices[-1].data == {"micro_batch_size": result.micro_batch_size, "step": 0}
