"""Clip gradients before a step: all together, each tensor by itself, or not at all."""

from collections.abc import Callable, Mapping, Sequence

from torch import nn

from metadata.records import Clipping

LARGEST_NORM = 1.0  # the usual bound


def clip(weights: Mapping[str, nn.Parameter], clipping: Clipping) -> None:
    """Scale the gradients of the weights down to a norm of at most 1, as the clipping says.

    `global` is the norm of all of them as one vector, `component` that of each weight tensor.
    """
    CLIPPINGS[clipping](list(weights.values()))


def _together(weights: Sequence[nn.Parameter]) -> None:
    nn.utils.clip_grad_norm_(weights, LARGEST_NORM, foreach=True)


def _each(weights: Sequence[nn.Parameter]) -> None:
    for weight in weights:
        nn.utils.clip_grad_norm_(weight, LARGEST_NORM)


def _not_at_all(weights: Sequence[nn.Parameter]) -> None:
    del weights


CLIPPINGS: Mapping[Clipping, Callable[[Sequence[nn.Parameter]], None]] = {
    "global": _together,
    "component": _each,
    "none": _not_at_all,
}
