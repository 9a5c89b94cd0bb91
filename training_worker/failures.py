"""What ends a run early, as one of the states of a run and a reason without paths."""

import re
from math import isfinite

import torch

from metadata.errors import PeftwiseError
from metadata.records import RunState

_PATH = re.compile(r"(?<![\w.])(?:[A-Za-z]:)?(?:[/\\][\w.@+~-]+){2,}[/\\]?")
_REASON_LENGTH = 500
_DOG = "DoG cannot work when"  # how the dog package says that gradients are no numbers


class Diverged(PeftwiseError):
    """The loss left the numbers, or all reason."""


class TimedOut(PeftwiseError):
    """Training took longer than its limit."""


class OverMemory(PeftwiseError):
    """Live tensors need more than the memory limit."""


def classify(error: BaseException) -> tuple[RunState, str]:
    """Return the state and the reason that an error stands for."""
    return _state(error), without_paths(_words(error))


def without_paths(text: str) -> str:
    """Return a text on one line, of bounded length, with every path in it left out."""
    return _PATH.sub("<path>", " ".join(text.split()))[:_REASON_LENGTH]


def check_finite(loss: float, *, step: int, split: str) -> None:
    """Raise Diverged where a loss is no number."""
    if not isfinite(loss):
        raise Diverged(
            f"The {split} loss must stay finite; at step {step} it was {loss}. "
            "Lower the learning rate."
        )


def check_kept(loss: float, base_loss: float) -> None:
    """Raise Diverged where training left the model far worse than it was.

    The bound, twice the base's loss and one nat more, is ours: overfitting stays below it, and a
    model that answers with noise is above it. For DPO, whose base has ln 2, it is 2.39: that of a
    model that prefers what is rejected by a margin of 2.3 on every held-out pair.
    """
    bound = 2.0 * base_loss + 1.0
    if loss > bound:
        raise Diverged(
            f"The validation loss of the kept checkpoint must stay under {bound:.3f} (twice the "
            f"base's {base_loss:.3f} and 1); it was {loss:.3f}. Lower the learning rate."
        )


def _state(error: BaseException) -> RunState:
    if isinstance(error, torch.OutOfMemoryError | MemoryError | OverMemory):
        return "out_of_memory"
    if isinstance(error, Diverged) or _is_dog(error):
        return "diverged"
    return "timed_out" if isinstance(error, TimedOut) else "failed"


def _is_dog(error: BaseException) -> bool:
    return isinstance(error, AssertionError) and str(error).startswith(_DOG)


def _words(error: BaseException) -> str:
    if _is_dog(error):
        return f"The gradients must stay finite. {error}. Clip them, or take another optimizer."
    if isinstance(error, PeftwiseError):
        return str(error)
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "The device ran out of memory at a micro-batch of one. Shorten the examples, " + (
            "use gradient checkpointing, or take a device with more memory."
        )
    return f"{type(error).__name__}: {error}"
