"""Answers for operations that look at numbers, which fakes do not have.

A question is answered with yes, a number is 1, and a mask lets everything through: what a method
does with ordinary numbers, and the most that it can hold. Whether one is infinite: no.

A sparse fake forgets how many numbers it has, so that its places and values go along with it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import masking_utils as found_masking_utils

aten = torch.ops.aten
masking_utils: Any = found_masking_utils  # it does not say that it exports what is replaced


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


class Answers(TorchDispatchMode):
    """Answer such operations inside a block, for methods that look while they start."""

    def __init__(self) -> None:
        """Answer as `run` does."""
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation, or answer it."""
        return run(func, args, kwargs or {})


def run(func: Any, args: Any, kwargs: Any) -> Any:
    """Run an operation on fakes, one that looks at numbers with an answer in their place."""
    packet = func._overloadpacket
    if packet is aten._local_scalar_dense:
        return _scalar(args[0])
    if packet is aten.nonzero:
        return _places(args[0])
    if packet in (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_):
        args = (args[0], _places_of_masks(args[1]), *args[2:])
    if packet in SPARSE:
        return _with_numbers(packet, func, args, kwargs)
    result = func(*args, **kwargs)
    if packet is aten.isinf or (packet is aten.any and hasattr(args[0], "is_rare")):
        result.is_rare = True
    return result


def _scalar(tensor: torch.Tensor) -> bool | int | float:
    if tensor.dtype == torch.bool:
        return not hasattr(tensor, "is_rare")
    return 1.0 if tensor.is_floating_point() else 1


SPARSE = (
    aten._sparse_coo_tensor_with_dims_and_tensors,
    aten.sparse_mask,
    aten._values,
    aten._indices,
    aten.detach,
)


def _with_numbers(packet: Any, func: Any, args: Any, kwargs: Any) -> Any:
    """Run an operation on a sparse fake, whose places and values stand in its `numbers`."""
    numbers = parts(args[1] if packet is aten.sparse_mask else args[0])
    if packet in (aten._indices, aten._values) and len(numbers) > 1:
        return numbers[packet is aten._values]
    result = func(*args, **kwargs)
    if packet is aten._sparse_coo_tensor_with_dims_and_tensors:
        result.numbers = tuple(args[3:5])
    elif packet is aten.sparse_mask and len(numbers) > 1:
        places, values = numbers
        result.numbers = places, args[0].new_empty(values.shape)
    elif len(numbers) > 1:
        result.numbers = numbers
    return result


def parts(tensor: Any) -> tuple[torch.Tensor, ...]:
    """Return what has a fake's numbers in storage: of a sparse one its places and values."""
    return getattr(tensor, "numbers", (tensor,))


def _places(mask: torch.Tensor) -> torch.Tensor:
    return torch.empty((mask.numel(), mask.dim()), dtype=torch.int64, device=mask.device)


def _places_of_masks(indices: Sequence[torch.Tensor | None]) -> list[torch.Tensor | None]:
    found: list[torch.Tensor | None] = []
    for index in indices:
        is_mask = index is not None and index.dtype in (torch.bool, torch.uint8)
        found.extend(_places(index).unbind(1) if is_mask and index is not None else [index])
    return found
