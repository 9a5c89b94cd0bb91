import pytest
import torch
from dog import DoG

from metadata.errors import InvalidConfiguration
from training_worker.failures import (
    Diverged,
    OverMemory,
    TimedOut,
    check_finite,
    check_kept,
    classify,
    without_paths,
)


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (OverMemory("too much"), "out_of_memory"),
        (Diverged("nan"), "diverged"),
        (TimedOut("late"), "timed_out"),
        (InvalidConfiguration("no such method"), "failed"),
        (RuntimeError("size mismatch"), "failed"),
    ],
)
def test_every_error_has_a_state_and_a_reason(error, state) -> None:
    found, reason = classify(error)

    assert found == state
    assert reason


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("cannot open /home/ann/models/x.bin: gone", "cannot open <path>: gone"),
        (r"cannot open C:\Users\ann\x.bin", "cannot open <path>"),
        ("meta-llama/Llama-3.2-3B is a name", "meta-llama/Llama-3.2-3B is a name"),
        ("3.5 GiB / 4.0 GiB\n  used", "3.5 GiB / 4.0 GiB used"),
    ],
)
def test_a_reason_holds_no_path(text, clean) -> None:
    assert without_paths(text) == clean


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_has_diverged(loss) -> None:
    with pytest.raises(Diverged, match="step 7"):
        check_finite(loss, step=7, split="train")


def test_gradients_that_dog_cannot_take_have_diverged() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.full((2,), float("nan"))

    with pytest.raises(AssertionError) as raised:
        DoG([weight]).step()

    assert classify(raised.value)[0] == "diverged"


def test_a_kept_checkpoint_far_above_the_base_has_diverged() -> None:
    check_kept(4.9, base_loss=2.0)

    with pytest.raises(Diverged, match=r"5\.1"):
        check_kept(5.1, base_loss=2.0)
