"""One training step as it would run, told without running it: what it holds, moves and computes."""

from collections.abc import Iterable, Mapping
from typing import Literal

from metadata.records import Count, Name, Record

Phase = Literal["forward", "backward", "optimizer"]
PHASES: tuple[Phase, ...] = ("forward", "backward", "optimizer")
Kind = Literal["weights", "gradients", "state", "activations", "logits"]
KINDS: tuple[Kind, ...] = ("weights", "gradients", "state", "activations", "logits")


class Operation(Record):
    """Operations of a step that are alike: how many, and what each of them costs.

    `bytes_moved` are read and written; a view moves none. `dtype` is that of the result.
    """

    name: Name
    phase: Phase
    dtype: Name
    count: Count
    flops: Count
    bytes_moved: Count


def flops_of(operations: Iterable[Operation]) -> int:
    """Return the floating point operations of matrix products and attention, a product two."""
    return sum(one.count * one.flops for one in operations)


def bytes_moved_by(operations: Iterable[Operation]) -> int:
    """Return the bytes that operations read and write."""
    return sum(one.count * one.bytes_moved for one in operations)


def count_of(operations: Iterable[Operation]) -> int:
    """Return how many operations are started, views among them."""
    return sum(one.count for one in operations)


class Peak(Record):
    """The most that is live in one phase of a step, and by kind what it is made of.

    Activations are all that is neither of the other kinds: what is kept for the backward pass and
    what an operation needs for a moment.
    """

    peak_bytes: Count
    bytes_of: Mapping[Kind, Count]


class SimulatedStep(Record):
    """An optimizer step on one micro-batch, after an earlier one has made the optimizer's state.

    `kept_bytes` of activations and logits are held from the forward pass to the backward pass.
    `notes` say where it is an approximation; it is exact where there are none.
    """

    trainable: Count
    parameters: Count
    peaks: Mapping[Phase, Peak]
    kept_bytes: Count
    operations: tuple[Operation, ...]
    notes: tuple[str, ...] = ()

    @property
    def peak_tensor_bytes(self) -> int:
        """Return the most that is live at once."""
        return max(peak.peak_bytes for peak in self.peaks.values())

    @property
    def peak_phase(self) -> Phase:
        """Return the phase in which the most is live."""
        return max(self.peaks, key=lambda phase: self.peaks[phase].peak_bytes)

    @property
    def flops(self) -> int:
        """Return the floating point operations of matrix products and attention, a product two."""
        return flops_of(self.operations)

    @property
    def bytes_moved(self) -> int:
        """Return the bytes that all operations read and write."""
        return bytes_moved_by(self.operations)

    @property
    def operation_count(self) -> int:
        """Return how many operations are started, views among them."""
        return count_of(self.operations)
