"""LinChain: a chain of small square matrices between LoRA's two factors.

The update is scale * B C_n ... C_1 A. The chain collapses to one product, which is computed once
a step: gradients are those of the chain, and a token costs what LoRA's costs.

Paper: Zhang et al. (arXiv:2411.00039); MoSLoRA (arXiv:2406.11909) is the chain of one link. Its
code gives links a bias; here they have none unless asked for, since an update with biases is no
plain LoRA adapter, and merging it would give maps without a bias one.

Axes: n links, A (r, d_in), B (d_out, r).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from training_worker.tuners.low_rank import (
    Factors,
    LowRankConfig,
    LowRankLayer,
    LowRankModel,
    uniform,
)
from training_worker.tuners.registration import register

Start = Literal["kaiming", "orthogonal", "identity"]
STARTS: Mapping[Start, Callable[[int], Tensor]] = {
    "kaiming": lambda rank: uniform(rank, rank),
    "orthogonal": lambda rank: nn.init.orthogonal_(torch.empty(rank, rank)),
    "identity": torch.eye,
}


@dataclass
class LinChainConfig(LowRankConfig):
    """LoRA's values, and the chain.

    Attributes:
        links: How many matrices are chained.
        chain_init: How they start: kaiming, as the authors' code, shrinks the signal to about
            0.58 a link; orthogonal and identity keep it, and identity starts as plain LoRA.
        chain_bias: Whether links have a bias, as in the authors' code.
    """

    method: ClassVar[str] = "linchain"

    links: int = 3
    chain_init: Start = "kaiming"
    chain_bias: bool = False

    def __post_init__(self) -> None:
        """Refuse a chain of no links and an unknown start."""
        super().__post_init__()
        self.require_whole("links", 1)
        if self.chain_init not in STARTS:
            raise ValueError(
                f"`chain_init` must be one of {', '.join(STARTS)}, got {self.chain_init!r}."
            )


class LinChainLinear(LowRankLayer):
    """A linear map with chained low-rank updates; a chain is one tensor, (n, r, r)."""

    adapter_layer_names = ("linchain_A", "linchain_links", "linchain_link_biases", "linchain_B")
    linchain_A: nn.ParameterDict
    linchain_links: nn.ParameterDict
    linchain_link_biases: nn.ParameterDict
    linchain_B: nn.ParameterDict

    def start(self, config: LinChainConfig) -> Mapping[str, Tensor]:
        """Return A and the links at random, or as asked, and B at zero."""
        links = [STARTS[config.chain_init](config.r) for _ in range(config.links)]
        started = {
            "linchain_A": self.first_a(config),
            "linchain_links": torch.stack(links),
            "linchain_B": self.first_b(config),
        }
        if config.chain_bias:  # as torch's own Linear has them
            bound = config.r**-0.5
            biases = torch.empty(config.links, config.r).uniform_(-bound, bound)
            started["linchain_link_biases"] = biases
        return started

    def lora_factors(self, adapter: str) -> Factors:
        """Return C_n ... C_1 A, B and alpha / r.

        Raises:
            ValueError: The links have biases: the update moves the output whatever the input.
        """
        factors, shift = self.factors(adapter)
        if shift is not None:
            raise ValueError(
                "a chain whose links have biases is no plain LoRA adapter: it adds to the "
                "output whatever the input. Train with chain_bias=False, or merge"
            )
        return factors

    def factors(self, adapter: str) -> tuple[Factors, Tensor | None]:
        """Return the same, and what the links' biases add to A's output."""
        a, config = self.linchain_A[adapter], self.settings[adapter]
        device = "cpu" if a.is_meta else a.device.type
        with torch.autocast(device, enabled=False):  # a product of links in half precision is lost
            links_NRR = self.linchain_links[adapter].unbind()
            shift = None
            if adapter in self.linchain_link_biases:
                shift = _shift(links_NRR, self.linchain_link_biases[adapter].unbind())
            for link in links_NRR:
                a = link @ a
        return (a, self.linchain_B[adapter], config.lora_alpha / config.r), shift


class LinChainModel(LowRankModel):
    """A base model with chained low-rank updates."""

    prefix = "linchain_"
    tuner_layer_cls = LinChainLinear
    layer_types: ClassVar = {nn.Linear: LinChainLinear, Conv1D: LinChainLinear}


def _shift(links: tuple[Tensor, ...], biases: tuple[Tensor, ...]) -> Tensor:
    """Return c_n + C_n (c_(n-1) + ... ), the chain's output at zero."""
    shift = biases[0]
    for link, bias in zip(links[1:], biases[1:], strict=True):
        shift = link @ shift + bias
    return shift


register("linchain", LinChainConfig, LinChainModel)
