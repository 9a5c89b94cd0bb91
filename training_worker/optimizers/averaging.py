"""Optimizers that train one point and mean another, an average of their steps, to be kept."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol, runtime_checkable

import torch
from torch import nn
from torch.optim import Optimizer


@runtime_checkable
class Averages(Protocol):
    """An optimizer whose average is what is to be evaluated, kept and saved."""

    def averaged(self) -> AbstractContextManager[None]:
        """Have the weights be the average inside the block, and as they were after it."""


def to_be_kept(optimizer: Optimizer) -> AbstractContextManager[None]:
    """Have the weights be those that the optimizer means to be kept inside the block."""
    return optimizer.averaged() if isinstance(optimizer, Averages) else nullcontext()


@contextmanager
def restored(weights: Iterable[nn.Parameter]) -> Iterator[None]:
    """Put the weights back after the block, bit for bit, so that training goes on unchanged."""
    kept = [(weight, weight.detach().clone()) for weight in weights]
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, value in kept:
                weight.copy_(value)
