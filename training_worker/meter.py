"""Measure what a run uses: time, live tensor bytes, device memory."""

import resource
import sys
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

BLOCK_BYTES = 512  # the grain of torch's CUDA allocator


class TensorMeter(TorchDispatchMode):
    """Count the bytes of live tensor storages while it is entered.

    Every storage that an operation returns is counted once, in blocks of 512 bytes, and taken off
    by a finalizer when it is freed. Views share a storage. Scratch memory inside one operation is
    not seen. What was there before is counted by `add`.
    """

    def __init__(self) -> None:
        """Start at nothing."""
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.live_bytes = 0
        self.peak_bytes = 0
        self._known: set[int] = set()

    def add(self, tensors: Iterable[torch.Tensor]) -> None:
        """Count the storages of tensors, each once."""
        for part in chain.from_iterable(map(parts, tensors)):
            storage = part.untyped_storage()
            if storage._cdata not in self._known:
                self._hold(storage, part)
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count what it returns."""
        result = func(*args, **(kwargs or {}))
        self.add(leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor))
        return result

    def _hold(self, storage: torch.UntypedStorage, tensor: torch.Tensor) -> None:
        del tensor  # which is one of those that share the storage
        key, bytes_held = storage._cdata, blocks(storage.nbytes())
        self._known.add(key)
        self.live_bytes += bytes_held
        weakref.finalize(storage, self._release, key, bytes_held).atexit = False

    def _release(self, key: int, bytes_held: int) -> None:
        self._known.discard(key)
        self.live_bytes -= bytes_held


def blocks(size_bytes: int) -> int:
    """Return the bytes of whole blocks that hold so many."""
    return -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES


def parts(tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return what has a tensor's numbers in storage: of a sparse one its places and values."""
    return (tensor._indices(), tensor._values()) if tensor.is_sparse else (tensor,)


class Clock:
    """Seconds spent in one kind of work, of the wall and of this process's CPU."""

    def __init__(self, device: torch.device) -> None:
        """Start at zero."""
        self._device = device
        self._seconds = 0.0
        self._cpu_seconds = 0.0
        self._since: tuple[float, float] | None = None

    def go_on_from(self, seconds: float, cpu_seconds: float) -> None:
        """Count from what an earlier process had counted."""
        self._seconds, self._cpu_seconds = seconds, cpu_seconds

    @property
    def seconds(self) -> float:
        """Return the wall seconds so far."""
        return self._seconds + (time.perf_counter() - self._since[0] if self._since else 0.0)

    @property
    def cpu_seconds(self) -> float:
        """Return the CPU seconds so far."""
        return self._cpu_seconds + (time.process_time() - self._since[1] if self._since else 0.0)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time inside the block."""
        self._synchronize()
        self._since = (time.perf_counter(), time.process_time())
        try:
            yield
        finally:
            self._synchronize()
            self._seconds, self._cpu_seconds, self._since = self.seconds, self.cpu_seconds, None

    def _synchronize(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def forget_device_peak(device: torch.device) -> None:
    """Start a new peak where the device keeps one."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_device_bytes(device: torch.device) -> int:
    """Return the peak of the CUDA allocator, or on a CPU the process's resident peak so far."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
