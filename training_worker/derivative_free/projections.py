"""Fixed random maps from one short vector per layer to the factors of its low-rank updates.

Paper: derivative-free optimisation for low-rank adaptation, arXiv:2403.01754; the scale by hidden
states is that of BBTv2, arXiv:2205.11200. Axes: C candidates, D intrinsic dimensions, R rank, I
inputs and O outputs of a part, B examples, L tokens, H hidden units.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from math import sqrt
from typing import Any

import torch
from torch import nn

from training_worker.data import Batch
from training_worker.derivative_free.layers import ADAPTER, Layer
from training_worker.scoring import target_logits

CLIPPINGS, CLIPPED_BEYOND = 5, 3.0  # rounds and standard deviations, as in BBTv2's code

Factors = list[tuple[torch.Tensor, torch.Tensor]]


class Projection:
    """The maps of one layer: each part's A and B come from their own share of the vector.

    Entries of A's maps are drawn from N(0, (scale / sqrt(D))^2), of B's with the spread that they
    have in the paper's code whatever the hidden states, 1 / sqrt(3 D / 4): were both scaled, the
    updates of deep layers, whose hidden states are large, would drown their attention. Drawn on the
    CPU, a seed means the same maps on any device. The vector 0 gives no update.
    """

    def __init__(self, layer: Layer, dimension: int, *, scale: float, seed: int) -> None:
        """Draw the maps of a layer."""
        generator = torch.Generator().manual_seed(seed)
        device = layer.parts[0].module.lora_A[ADAPTER].weight.device
        self._shapes = [shape for part in layer.parts for shape in (part.a_shape, part.b_shape)]
        ends = [round(dimension * i / len(self._shapes)) for i in range(len(self._shapes) + 1)]
        self._shares = [slice(start, end) for start, end in pairwise(ends)]
        spreads = [scale / sqrt(dimension), 1 / sqrt(0.75 * dimension)] * len(layer.parts)
        self.maps = [
            (
                torch.randn(rows * columns, share.stop - share.start, generator=generator) * spread
            ).to(device)
            for (rows, columns), share, spread in zip(
                self._shapes, self._shares, spreads, strict=True
            )
        ]

    def factors(self, vectors_CD: torch.Tensor) -> Factors:
        """Return for each part A (C, R, I) and B (C, O, R) of every candidate."""
        vectors_CD = vectors_CD.to(self.maps[0])
        made = [
            (vectors_CD[:, share] @ one.T).view(-1, *shape)
            for one, share, shape in zip(self.maps, self._shares, self._shapes, strict=True)
        ]
        return list(zip(made[::2], made[1::2], strict=True))


@torch.no_grad()
def hidden_scales(model: Any, layers: Sequence[Layer], batch: Batch) -> list[float]:
    """Return the standard deviation of what each layer is given, that of embeddings first.

    Of what later layers are given, outliers are clipped to three standard deviations five times;
    padding is left out.
    """
    is_token_BL = batch.attention_mask_BL.bool()
    scales = [float(model.get_input_embeddings().weight.float().std())]

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        hidden_BLH = output[0] if isinstance(output, tuple) else output
        scales.append(_clipped_deviation(hidden_BLH[is_token_BL].float()))

    with _hooked([layer.block for layer in layers[:-1]], note):
        target_logits(model, batch)
    return scales


def _clipped_deviation(values: torch.Tensor) -> float:
    for _ in range(CLIPPINGS):
        mean, reach = values.mean(), CLIPPED_BEYOND * values.std()
        values = values.clamp(mean - reach, mean + reach)
    return float(values.std())


@contextmanager
def _hooked(modules: Sequence[nn.Module], hook: Any) -> Iterator[None]:
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
