"""What a model, or several candidates of one layer of it at once, lose on examples.

Axes: C candidates, B examples, L tokens, R rank, I inputs and O outputs of a part, T targets.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from training_worker.data import Batch
from training_worker.derivative_free.layers import Layer, Part
from training_worker.derivative_free.projections import Factors
from training_worker.scoring import target_logits
from training_worker.steps import Learner


def nats_of(learner: Learner, batch: Batch) -> float:
    """Return the loss of the model as it is, summed over the targets of a batch."""
    return float(nats_of_candidates(learner, batch, candidates=1)[0])


@torch.no_grad()
def nats_of_candidates(learner: Learner, batch: Batch, *, candidates: int) -> torch.Tensor:
    """Return the losses, shape (C,), of a batch that stands in the model's input so many times."""
    logits, labels, _ = target_logits(learner.model, batch)
    nats_T = functional.cross_entropy(logits, labels, reduction="none")
    return nats_T.double().view(candidates, -1).sum(dim=1)


@torch.no_grad()
def judge_candidates(
    learner: Learner, layer: Layer, factors: Factors, batches: Sequence[Batch], *, rows: int
) -> torch.Tensor:
    """Return the losses, shape (C,), in nats over all batches, of other factors of one layer.

    Several candidates go through the model together, so many that there are about `rows`
    examples, and the layers before theirs are gone through once for all. The layer's adapter must
    be clear.
    """
    count = len(factors[0][0])
    nats_C = torch.zeros(count, dtype=torch.float64)
    for batch in batches:
        together = max(1, rows // len(batch.input_ids_BL))
        given = _output_before(learner, layer, batch)
        for start in range(0, count, together):
            some = [(a[start : start + together], b[start : start + together]) for a, b in factors]
            size = len(some[0][0])
            with _skipped(layer, given, times=size), _replaced(layer, some):
                nats_C[start : start + size] += nats_of_candidates(
                    learner, _repeated(batch, size), candidates=size
                ).cpu()
    return nats_C


class _Reached(Exception):
    """The layer whose input is wanted has been reached."""


def _output_before(learner: Learner, layer: Layer, batch: Batch) -> Any:
    """Return what the last layer before this one gives out, None where there is none."""
    if not layer.earlier:
        return None
    kept: list[Any] = []

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        kept.append(output)
        raise _Reached

    handle = layer.earlier[-1].register_forward_hook(keep)
    try:
        target_logits(learner.model, batch)
    except _Reached:
        pass
    finally:
        handle.remove()
    return kept[0]


@contextmanager
def _skipped(layer: Layer, output: Any, *, times: int) -> Iterator[None]:
    """Have all layers before this one give out what is known of the last of them."""
    known = _tiled(output, times)
    own = [vars(block).get("forward") for block in layer.earlier]
    for block in layer.earlier:
        block.forward = lambda *inputs, **named: known
    try:
        yield
    finally:
        for block, forward in zip(layer.earlier, own, strict=True):
            del block.forward
            if forward is not None:  # others may have put one there, as offloading does
                block.forward = forward


@contextmanager
def _replaced(layer: Layer, factors: Factors) -> Iterator[None]:
    """Have the layer's maps add each candidate's update to its own share of the batch."""
    with ExitStack() as hooks:
        for part, (a_CRI, b_COR) in zip(layer.parts, factors, strict=True):
            handle = part.module.register_forward_hook(_adding(part, a_CRI, b_COR))
            hooks.callback(handle.remove)
        yield


def _adding(part: Part, a_CRI: torch.Tensor, b_COR: torch.Tensor) -> Callable[..., Any]:
    def add(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        x_CNI = inputs[0].to(a_CRI.dtype).reshape(len(a_CRI), -1, a_CRI.shape[-1])
        added_CNO = x_CNI @ a_CRI.mT @ b_COR.mT
        added = added_CNO.reshape(*output.shape[:-1], -1).to(output.dtype)
        return output.index_add(-1, part.rows_O.to(output.device), added)

    return add


def _repeated(batch: Batch, times: int) -> Batch:
    positions_BL = batch.positions_BL
    return Batch(
        input_ids_BL=batch.input_ids_BL.repeat(times, 1),
        attention_mask_BL=batch.attention_mask_BL.repeat(times, 1),
        labels_BL=batch.labels_BL.repeat(times, 1),
        targets=batch.targets * times,
        tokens=batch.tokens * times,
        positions_BL=None if positions_BL is None else positions_BL.repeat(times, 1),
    )


def _tiled(output: Any, times: int) -> Any:
    """Return a layer's output for the batch so many times over."""
    if isinstance(output, torch.Tensor):
        return output.repeat(times, *[1] * (output.dim() - 1))
    return tuple(_tiled(one, times) for one in output) if isinstance(output, tuple) else output
