"""Several processes train one model: each takes a share of every batch, and all take every step.

They are started by `launcher`, which tells each its rank. What ends a run, such as a
loss that is no number or too little memory, is agreed on, so that none waits for one that is gone.
A process by itself is a world of one, to which all of this changes nothing.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed, nn

from metadata.errors import InvalidConfiguration
from metadata.optimizers import OPTIMIZERS
from metadata.records import Configuration

T = TypeVar("T")

FAREWELL_SECONDS = 60.0  # for the first rank to tell the outcome before another's end ends it
_TOLD = "told"
_IS_ALONE = ContextVar("is_alone", default=False)


@contextmanager
def joined() -> Iterator[None]:
    """Be one of the processes that the environment tells of, inside the block.

    Each has a GPU of its own where there are GPUs. A process that ends waits until the first has
    told how the run went: the launcher takes all down with one that failed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    store, rank, size = next(distributed.rendezvous("env://"))  # type: ignore[attr-defined]
    has_gpu = torch.cuda.is_available()
    if has_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    backend = "nccl" if has_gpu else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size)
    if rank == 0:
        sys.stderr.write(f"{size} processes train together, joined by {backend}.\n")
    try:
        yield
    finally:
        if rank == 0:
            store.set(_TOLD, "")
        else:
            _wait(store)
        distributed.destroy_process_group()


@contextmanager
def alone() -> Iterator[None]:
    """Be a world of one inside the block, as where a failure need not be every rank's."""
    token = _IS_ALONE.set(True)
    try:
        yield
    finally:
        _IS_ALONE.reset(token)


def rank() -> int:
    """Return this process's number; the first is 0."""
    return distributed.get_rank() if _is_one_of_several() else 0


def size() -> int:
    """Return how many processes train together."""
    return distributed.get_world_size() if _is_one_of_several() else 1


def devices() -> int:
    """Return on how many devices is trained: processes without GPUs share one, the processor."""
    return size() if torch.cuda.is_available() else 1


def is_first() -> bool:
    """Say whether this is the process that reports, and writes files."""
    return rank() == 0


def share_of(rows: Sequence[T]) -> list[T]:
    """Return the rows that are this process's; all shares together are all rows."""
    return list(rows[rank() :: size()])


def check_shares(configuration: Configuration) -> None:
    """Raise InvalidConfiguration where a configuration cannot be trained by several processes."""
    if size() == 1:
        return
    if OPTIMIZERS[configuration.optimizer.name].kind != "gradient":
        raise InvalidConfiguration(
            f"Several processes add up gradients; {configuration.optimizer.name} has none, and "
            f"there are {size()} processes. Train it on one device.",
            param="optimizer.name",
        )
    if configuration.batch_size < size():
        raise InvalidConfiguration(
            f"A batch must have an example for each of {size()} processes; batch_size is "
            f"{configuration.batch_size}. Raise it, or train on fewer devices.",
            param="batch_size",
        )


def total(value: float) -> float:
    """Return the sum of all processes' values."""
    return _reduced(value, distributed.ReduceOp.SUM)


def least(value: int) -> int:
    """Return the smallest of all processes' values."""
    return int(_reduced(value, distributed.ReduceOp.MIN))


def is_any(flag: bool) -> bool:
    """Say whether it is so in any process; all have come here once this returns."""
    return bool(_reduced(float(flag), distributed.ReduceOp.MAX))


def add_up(tensors: Sequence[torch.Tensor]) -> None:
    """Replace tensors by their sums over all processes."""
    if size() == 1:
        return
    for tensor in tensors:
        moved = tensor.to(_device())
        with _together():
            distributed.all_reduce(moved)
        tensor.copy_(moved)


def add_gradients(weights: Mapping[str, nn.Parameter]) -> None:
    """Give every weight the sum of its gradients; one that no process has stays without."""
    if size() == 1:
        return
    all_weights = list(weights.values())
    marks = torch.tensor([float(one.grad is not None) for one in all_weights])
    add_up([marks])
    reached = [one for one, mark in zip(all_weights, marks.tolist(), strict=True) if mark]
    for dtype in sorted({one.dtype for one in reached}, key=str):
        of_dtype = [one for one in reached if one.dtype == dtype]
        gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in of_dtype]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        with _together():
            distributed.all_reduce(flat)
        sums = flat.split([one.numel() for one in of_dtype])
        for weight, summed in zip(of_dtype, sums, strict=True):
            weight.grad = summed.view_as(weight)


@torch.no_grad()
def share_first(tensors: Sequence[torch.Tensor]) -> None:
    """Overwrite tensors by those of the first process, whatever a device made of a seed."""
    if size() == 1:
        return
    for tensor in tensors:
        moved = tensor.detach().to(_device()).contiguous()
        with _together():
            distributed.broadcast(moved, 0)
        tensor.copy_(moved)


def _reduced(value: float, how: "distributed.ReduceOp.RedOpType") -> float:
    if size() == 1:
        return value
    held = torch.tensor([value], dtype=torch.float64, device=_device())
    with _together():
        distributed.all_reduce(held, op=how)
        return float(held[0])


@contextmanager
def _together() -> Iterator[None]:
    """Die where another process is gone: the run has not failed, and its job is tried again."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
            raise
        sys.stderr.write(f"Lost the other processes: {error}\n")
        sys.stderr.flush()
        os.abort()  # as NCCL's own watchdog ends a process


def _device() -> torch.device:
    return torch.device("cuda" if distributed.get_backend() == "nccl" else "cpu")


def _is_one_of_several() -> bool:
    return distributed.is_initialized() and not _IS_ALONE.get()


def _wait(store: Any) -> None:
    try:
        store.wait([_TOLD], timedelta(seconds=FAREWELL_SECONDS))
    except (distributed.DistError, RuntimeError):
        return  # it is gone, or in a step that will not end: the launcher is to take it down
