"""Answers for operations that look at numbers, which fakes do not have.

A question is answered with yes, a number is 1, and a mask lets everything through: what a method
does with ordinary numbers, and the most that it can hold.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import masking_utils

aten = torch.ops.aten


@contextmanager
def masks(are_made: bool) -> Iterator[None]:
    """Have transformers make attention masks, or find that no text is padded and make none.

    It does not look at fakes, and makes them where it cannot look.
    """
    is_tracing = masking_utils.is_tracing
    masking_utils.is_tracing = lambda *args: are_made
    try:
        yield
    finally:
        masking_utils.is_tracing = is_tracing


def run(func: Any, args: Any, kwargs: Any) -> Any:
    """Run an operation on fakes, one that looks at numbers with an answer in their place."""
    packet = func._overloadpacket
    if packet is aten._local_scalar_dense:
        return _scalar(args[0])
    if packet is aten.nonzero:
        return _places(args[0])
    if packet in (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_):
        args = (args[0], _places_of_masks(args[1]), *args[2:])
    return func(*args, **kwargs)


def _scalar(tensor: torch.Tensor) -> bool | int | float:
    if tensor.dtype == torch.bool:
        return True
    return 1.0 if tensor.is_floating_point() else 1


def _places(mask: torch.Tensor) -> torch.Tensor:
    return torch.empty((mask.numel(), mask.dim()), dtype=torch.int64, device=mask.device)


def _places_of_masks(indices: Sequence[torch.Tensor | None]) -> list[torch.Tensor | None]:
    found: list[torch.Tensor | None] = []
    for index in indices:
        is_mask = index is not None and index.dtype in (torch.bool, torch.uint8)
        found.extend(_places(index).unbind(1) if is_mask and index is not None else [index])
    return found
