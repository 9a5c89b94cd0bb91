"""Keep the trained weights of the best evaluation point and of the last, in memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn


@dataclass(frozen=True)
class Checkpoint:
    """The trained weights at one step, on the CPU, and the validation loss there."""

    step: int
    loss: float
    weights: Mapping[str, torch.Tensor]


class Checkpoints:
    """The best checkpoint by validation loss and the last; the untrained base is none of them."""

    def __init__(self, weights: Mapping[str, nn.Parameter]) -> None:
        """Watch these weights."""
        self._weights = weights
        self._best: Checkpoint | None = None
        self._last: Checkpoint | None = None

    @property
    def best(self) -> Checkpoint:
        """Return the checkpoint of the lowest validation loss, the earliest of equal ones."""
        assert self._best is not None, "no evaluation point yet"
        return self._best

    @property
    def last(self) -> Checkpoint:
        """Return the checkpoint of the last evaluation point."""
        assert self._last is not None, "no evaluation point yet"
        return self._last

    def kept(self, keep: Literal["best", "last"]) -> Checkpoint:
        """Return the one that the configuration keeps."""
        return self.best if keep == "best" else self.last

    def offer(self, step: int, loss: float) -> None:
        """Keep the weights as they are now as the last, and as the best if they are."""
        self._last = Checkpoint(step, loss, copy_of(self._weights))
        if self._best is None or loss < self._best.loss:
            self._best = self._last

    def state(self) -> dict[str, Any]:
        """Return both, as plain values; where they are one, so are their tensors."""
        return {
            name: None if one is None else {**vars(one), "weights": dict(one.weights)}
            for name, one in (("best", self._best), ("last", self._last))
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `state` gave."""
        best, last = state["best"], state["last"]
        self._best = None if best is None else Checkpoint(**best)
        self._last = None if last is None else Checkpoint(**last)
        if best is not None and best["step"] == last["step"]:
            self._last = self._best  # one checkpoint, as `offer` had it

    def load(self, checkpoint: Checkpoint) -> None:
        """Put a checkpoint's weights back into the model."""
        put_back(checkpoint.weights, self._weights)


def copy_of(weights: Mapping[str, nn.Parameter]) -> dict[str, torch.Tensor]:
    """Return the weights as they are, copied to the CPU."""
    return {name: weight.detach().to("cpu", copy=True) for name, weight in weights.items()}


def put_back(kept: Mapping[str, torch.Tensor], weights: Mapping[str, nn.Parameter]) -> None:
    """Overwrite weights with a copy of them, bit for bit."""
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(kept[name])
