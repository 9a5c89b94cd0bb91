"""Block-diagonal matrices for BOFT by torch alone, in the place of PEFT's own CUDA code.

PEFT builds that code when a BOFT layer is made, and where it cannot, as on a CPU or without a
compiler, takes one butterfly factor whatever was asked for: the method would differ by machine.

Axes: N butterfly factors, D blocks, H rows of a block, K = D H.
"""

from typing import Any

import peft
import torch
from peft.tuners.boft import layer
from peft.tuners.boft.layer import BOFTLayer

from training_worker.setting import Setting


class TorchBlocks:
    """What PEFT calls of its CUDA extension."""

    @staticmethod
    def forward(blocks_NDHH: torch.Tensor) -> list[torch.Tensor]:
        """Return the matrices with the blocks on their diagonals, shape (N, K, K)."""
        factors, blocks, rows, _ = blocks_NDHH.shape
        matrix = blocks_NDHH.new_zeros(factors, blocks, rows, blocks, rows)
        every = torch.arange(blocks, device=matrix.device)
        matrix[:, every, :, every] = blocks_NDHH.transpose(0, 1)
        return [matrix.view(factors, blocks * rows, blocks * rows)]

    @staticmethod
    def backward(gradient_NKK: torch.Tensor, blocks_NDHH: torch.Tensor) -> list[torch.Tensor]:
        """Return the gradient of the blocks from that of the matrices."""
        factors, blocks, rows, _ = blocks_NDHH.shape
        matrix = gradient_NKK.reshape(factors, blocks, rows, blocks, rows)
        every = torch.arange(blocks, device=matrix.device)
        return [matrix[:, every, :, every].transpose(0, 1)]


def use_torch_blocks() -> None:
    """Have PEFT take these instead of building its own."""
    layer._FBD_CUDA = TorchBlocks  # type: ignore[assignment]  # PEFT starts it at None


def add_boft(model: Any, config: Any, setting: Setting) -> Any:
    """Return the model with BOFT, its permutations in the model's precision, which holds 0 and 1.

    PEFT keeps them in fp32 and makes such a copy in every step.
    """
    del setting
    adapted = peft.get_peft_model(model, config)
    layers: list[Any] = [one for one in adapted.modules() if isinstance(one, BOFTLayer)]
    for one in layers:
        one.boft_P = one.boft_P.to(model.dtype)
    return adapted
