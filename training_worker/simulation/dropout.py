"""Dropout as GPUs do it: one kernel, which keeps a mask of a byte a number.

On a CPU torch multiplies by numbers of the input's precision, and keeps those.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn import functional

from training_worker.simulation.question import DeviceKind


@contextmanager
def dropout_of(device_kind: DeviceKind) -> Iterator[None]:
    """Have `torch.nn.functional.dropout` run as it does on a device of a kind."""
    usual = functional.dropout
    if device_kind == "cuda":
        functional.dropout = _in_one_kernel
    try:
        yield
    finally:
        functional.dropout = usual


def _in_one_kernel(
    input: torch.Tensor,  # noqa: A002  # torch's own name
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
) -> torch.Tensor:
    del inplace  # what is kept for the backward pass is the same
    if p == 0 or not training:
        return input
    return torch.native_dropout(input, p, True)[0]
