"""Watch a training step: what is live in each phase, and what every operation costs."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import (
    flop_registry,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)

from metadata.simulated import KINDS, Kind, Operation, Peak, Phase
from training_worker.meter import TensorMeter, blocks
from training_worker.simulation import looking

# What gives out what it was given, or memory that nothing is written to yet.
MOVES_NOTHING = frozenset(
    {"alias", "detach", "empty", "empty_like", "empty_strided", "lift_fresh", "_unsafe_view"}
)
aten = torch.ops.aten
# Torch counts the attention of GPUs and not that of CPUs, which stands for it here.
FLOPS_OF: Mapping[Any, Callable[..., int]] = {
    **flop_registry,
    aten._scaled_dot_product_flash_attention_for_cpu: lambda query, key, value, *_, **__: (
        sdpa_flop_count(query.shape, key.shape, value.shape)
    ),
    aten._scaled_dot_product_flash_attention_for_cpu_backward: (
        lambda grad, query, key, value, *_, **__: sdpa_backward_flop_count(
            grad.shape, query.shape, key.shape, value.shape
        )
    ),
}
FROM_HOST = "copy_from_host"  # in the place of the name of what reads the host's memory
Key = tuple[str, Phase, str, int, int]


class Recorder(TensorMeter):
    """Count live bytes by kind and phase, and every operation with its FLOPs and bytes moved.

    FLOPs are those of torch's own counter: of matrix products, convolutions and attention.
    """

    def __init__(self, *, vocabulary: int) -> None:
        """Start at nothing; tensors whose last axis is the vocabulary are logits."""
        super().__init__()
        self._vocabulary = vocabulary
        self._kinds: dict[int, Kind] = {}
        self._on_host: set[int] = set()
        self._live: Counter[Kind] = Counter()
        self._phase: Phase | None = None
        self._new: Kind = "weights"
        self.peaks: dict[Phase, Peak] = {}
        self.kept_bytes = 0
        self._counts: Counter[Key] = Counter()

    def enter(self, phase: Phase) -> None:
        """Begin a phase; what comes to be from now on is activations, or logits."""
        if phase == "backward":
            self.kept_bytes = self._live["activations"] + self._live["logits"]
        self._phase, self._new = phase, "activations"
        self._note_peak()

    def forget(self) -> None:
        """Keep what is live, and forget peaks and operations."""
        self.peaks, self._counts = {}, Counter()

    def leave_on_host(self, tensors: Iterable[torch.Tensor]) -> None:
        """Count what reads these as copies from the host's memory."""
        self._on_host |= {tensor.untyped_storage()._cdata for tensor in tensors}

    def watch_gradients(self, weights: Iterable[nn.Parameter]) -> None:
        """Count the gradients of weights as such as soon as they are there."""

        def mark(weight: torch.Tensor) -> None:
            if weight.grad is not None:
                self.mark([weight.grad], "gradients")

        for weight in weights:
            weight.register_post_accumulate_grad_hook(mark)

    def mark(self, tensors: Iterable[torch.Tensor], kind: Kind) -> None:
        """Count live tensors as of a kind from now on."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if storage._cdata in self._kinds:
                self._live[self._kinds[storage._cdata]] -= blocks(storage.nbytes())
                self._live[kind] += blocks(storage.nbytes())
                self._kinds[storage._cdata] = kind

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Return the operations since the last `forget`, alike ones together."""
        return tuple(
            Operation(
                name=name, phase=phase, dtype=dtype, count=count, flops=flops, bytes_moved=moved
            )
            for (name, phase, dtype, flops, moved), count in self._counts.items()
        )

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and note it."""
        result = looking.run(func, args, kwargs or {})
        if func.namespace == "prim":  # a question about a tensor, no operation
            return result
        self.add(part for one in _tensors(result) for part in looking.parts(one))
        if self._phase is not None:
            self._note_peak()
            self._note(func, args, kwargs or {}, result, self._phase)
        return result

    def _note(self, func: Any, args: Any, kwargs: Any, result: Any, phase: Phase) -> None:
        packet = func._overloadpacket
        given, made = _tensors((args, kwargs)), _tensors(result)
        count_flops = FLOPS_OF.get(packet)
        flops = count_flops(*args, **kwargs, out_val=result) if count_flops else 0
        still = func.is_view or packet.__name__ in MOVES_NOTHING
        touched = () if still else (*given, *(made or _written(func, args)))
        moved = sum(part.nbytes for one in touched for part in looking.parts(one))
        dtype = str((made or given or [torch.empty(0)])[0].dtype).removeprefix("torch.")
        name, from_host = packet.__name__, 0 if still else self._host_bytes(given)
        if from_host:
            name, moved = FROM_HOST, from_host
        self._counts[name, phase, dtype, int(flops), moved] += 1

    def _host_bytes(self, given: Iterable[torch.Tensor]) -> int:
        if not self._on_host:
            return 0
        each = (part for one in given for part in looking.parts(one))
        return sum(one.nbytes for one in each if one.untyped_storage()._cdata in self._on_host)

    def _note_peak(self) -> None:
        assert self._phase is not None
        known = self.peaks.get(self._phase)
        if known is None or self.live_bytes > known.peak_bytes:
            bytes_of = {kind: self._live[kind] for kind in KINDS}
            self.peaks[self._phase] = Peak(peak_bytes=self.live_bytes, bytes_of=bytes_of)

    def _hold(self, storage: torch.UntypedStorage, tensor: torch.Tensor) -> None:
        is_logits = self._new == "activations" and tensor.shape[-1:] == (self._vocabulary,)
        kind: Kind = "logits" if is_logits else self._new
        self._kinds[storage._cdata] = kind
        self._live[kind] += blocks(storage.nbytes())
        super()._hold(storage, tensor)

    def _release(self, key: int, bytes_held: int) -> None:
        self._live[self._kinds.pop(key)] -= bytes_held
        super()._release(key, bytes_held)


def _written(func: Any, args: Any) -> list[torch.Tensor]:
    """Return what an operation that gives nothing back writes into, as those over lists do."""
    places = zip(func._schema.arguments, args, strict=False)
    return _tensors([value for place, value in places if place.alias_info])


def _tensors(values: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]
