"""Muon on matrices, AdamW on what has no singular values worth the name.

Papers: Jordan et al. (2024) for Muon; Liu et al. (arXiv:2502.16982) for the scale by which it takes
AdamW's learning rate. The code is pytorch_optimizer's.
"""

import pytorch_optimizer
from torch import nn

from metadata.records import Configuration
from training_worker.optimizers.groups import Groups, split, unnamed

EMBEDDINGS = ("embed", "wte", "wpe", "lm_head")  # parts of their names in all families


def build_muon(
    groups: Groups, configuration: Configuration, *, lr: float, weight_decay: float
) -> pytorch_optimizer.Muon:
    """Return Muon over the matrices and AdamW over vectors and embeddings, at one rate."""
    del configuration
    marks = [[_is_map(*pair) for pair in zip(g["names"], g["params"], strict=True)] for g in groups]
    matrices, others = split(groups, marks)
    defaults = {"lr": lr, "weight_decay": weight_decay}
    return pytorch_optimizer.Muon(
        [
            *(defaults | group | {"use_muon": True} for group in unnamed(matrices)),
            *(defaults | group | {"use_muon": False} for group in unnamed(others)),
        ],
        use_adjusted_lr=True,
    )


def _is_map(name: str, weight: nn.Parameter) -> bool:
    return weight.ndim == 2 and not any(part in name for part in EMBEDDINGS)
