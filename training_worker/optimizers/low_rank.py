"""AdamW for the two factors of LoRA: B alone, at its own rate, or both preconditioned."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

from peft.optimizers import create_riemannian_optimizer
from peft.optimizers.lorafa import LoraFAOptimizer
from torch import nn
from torch.optim import AdamW, Optimizer

from metadata.methods import METHODS
from metadata.parameters import number
from metadata.records import Configuration
from training_worker.optimizers.groups import Groups, are_on_cuda, split, unnamed


def build_lora_fa(
    groups: Groups,
    configuration: Configuration,
    held: Mapping[str, nn.Parameter],
    *,
    lr: float,
    weight_decay: float,
) -> LoraFAOptimizer:
    """Return PEFT's AdamW on B, its gradient that of the whole map as near as A allows.

    The gradient of B is multiplied by (A A')^-1 over the square of LoRA's scale. A is held.

    Paper: Zhang, Zhang, Shi, Chu, Li (arXiv:2308.03303).
    """
    scale = _scale(configuration)
    paired = []
    for group in groups:
        pairs = [
            pair
            for name, weight in zip(group["names"], group["params"], strict=True)
            for pair in (*_held_beside(name, held), (name, weight))
        ]
        names, params = ([pair[place] for pair in pairs] for place in (0, 1))
        of_group = {"names": names, "params": params, "scaling_factors": [scale] * len(pairs)}
        paired.append({"lr": lr, "weight_decay": weight_decay} | group | of_group)
    return LoraFAOptimizer(paired)  # type: ignore[arg-type]  # groups, as torch's own


def _held_beside(name: str, held: Mapping[str, nn.Parameter]) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the A that PEFT's optimizer wants before a B, with its name."""
    if "lora_B" in name:
        a = name.replace("lora_B", "lora_A")
        yield a, held[a]


def _scale(configuration: Configuration) -> float:
    spec, values = METHODS[configuration.method.name], configuration.method.values
    rank = number(values, "r")
    return number(values, "lora_alpha") / (sqrt(rank) if spec.fixed.get("use_rslora") else rank)


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
