"""AdamW for the two factors of LoRA: B at its own rate, or both gradients preconditioned."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from peft.optimizers import create_riemannian_optimizer
from torch import nn
from torch.optim import AdamW, Optimizer

from metadata.records import Configuration
from training_worker.optimizers.groups import Groups, are_on_cuda, split, unnamed


def build_lora_plus(
    groups: Groups,
    configuration: Configuration,
    *,
    lr: float,
    weight_decay: float,
    loraplus_lr_ratio: float,
) -> AdamW:
    """Return AdamW with A's at the rate and B's at a multiple of it.

    Paper: Hayou, Ghosh, Yu (arXiv:2402.12354). The same as `peft.optimizers`' but for PEFT's own
    rate of embeddings, which no method of the table trains.
    """
    del configuration
    is_b = [["lora_B" in name for name in group["names"]] for group in groups]
    bs, others = split(groups, is_b)
    at_rates = [
        *(group | {"lr": lr} for group in unnamed(others)),
        *(group | {"lr": lr * loraplus_lr_ratio} for group in unnamed(bs)),
    ]
    return AdamW(at_rates, weight_decay=weight_decay, **_fused(groups))


def build_riemannian(
    groups: Groups, configuration: Configuration, *, lr: float, weight_decay: float, reg: float
) -> Optimizer:
    """Return PEFT's AdamW over gradients scaled by (B'B + reg)^-1 for A and (AA' + reg)^-1 for B.

    Paper: Zhang, Pilanci (arXiv:2402.02347).
    """
    del configuration
    optimizer: Optimizer = create_riemannian_optimizer(
        _Named(groups),  # type: ignore[arg-type]  # all that is asked of a PEFT model
        AdamW,
        lr=lr,
        reg=reg,
        weight_decay=weight_decay,
        **_fused(groups),
    )
    whole = optimizer.param_groups.pop()  # PEFT makes one group of all
    for group in unnamed(groups):
        optimizer.add_param_group(whole | group)
    return optimizer


@dataclass(frozen=True)
class _Named:
    """What PEFT asks of a model: its weights, with and without their names."""

    groups: Groups

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        for group in self.groups:
            yield from zip(group["names"], group["params"], strict=True)

    def parameters(self) -> Iterator[nn.Parameter]:
        return (weight for _, weight in self.named_parameters())


def _fused(groups: Groups) -> dict[str, Any]:
    return {"fused": True} if are_on_cuda(groups) else {}
