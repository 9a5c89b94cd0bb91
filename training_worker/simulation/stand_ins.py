"""Stand-ins for what methods take from real weights when they start, where fakes have none.

A stand-in has the shapes of what it stands for. Where these depend on the weights' numbers, or
where a step costs something else than it would, a note says so.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import torch
from peft.tuners.adamss import layer as adamss
from peft.tuners.boft.layer import BOFTLayer
from peft.tuners.frod import layer as frod
from peft.tuners.frod import model as frod_model
from torch import nn

from training_worker.simulation.question import Question


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """What stands in for the start of one method.

    Attributes:
        replaced: (where, name, by what), inside PEFT.
        values: Values of the adapter's config that a simulation takes instead.
        answers: Whether the start looks at numbers of which any will do.
        frozen: Parts of the names of weights that are not to be trained.
        on_host: Parts of the names of buffers that stay in the host's memory, of which each pass
            makes copies on the device.
        offloads: Whether the config can leave the targeted weights in the host's memory.
        notes: What is approximate.
    """

    replaced: tuple[tuple[Any, str, Callable[..., Any]], ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    answers: bool = False
    frozen: tuple[str, ...] = ()
    on_host: tuple[str, ...] = ()
    offloads: bool = False
    notes: tuple[str, ...] = ()

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Have it stand in inside the block."""
        with ExitStack() as stack:
            for where, name, by in self.replaced:
                stack.enter_context(patch.object(where, name, by))
            yield

    def freeze(self, model: nn.Module) -> None:
        """Keep from training what is not to be trained."""
        for name, weight in model.named_parameters():
            if any(part in name for part in self.frozen):
                weight.requires_grad_(False)

    def on_device(
        self, model: nn.Module, said: Mapping[str, Any]
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Return the weights and buffers that lie on the device between steps, and the others."""
        offloaded = self.offloads and said.get("runtime_offload_base_weight")
        device, host = list[torch.Tensor](), list[torch.Tensor]()
        for name, weight in model.named_parameters():
            stays = offloaded and name.endswith(".base_layer.weight")
            (host if stays else device).append(weight)
        for name, buffer in model.named_buffers():
            stays = any(part in name for part in self.on_host)
            (host if stays else device).append(buffer)
        return device, host


def stand_in_of(question: Question) -> StandIn:
    """Return what stands in for the start of the question's method."""
    if question.adapter is not None:
        return OF_PEFT_TYPE.get(str(question.adapter.get("peft_type")), NONE)
    return OF_METHOD.get(question.configuration.method.name, NONE)


def _any_order(self: Any, size: int, *rest: Any) -> torch.Tensor:
    del self, rest
    return torch.arange(size)


def _any_permutation(self: Any, order: torch.Tensor) -> torch.Tensor:
    del self
    return torch.zeros((len(order), len(order)))


def _equal_parts(rows: torch.Tensor, count: int, rounds: int) -> tuple[list[int], int]:
    del rounds
    count = min(count, len(rows))
    least, more = divmod(len(rows), count)
    return [least + (number < more) for number in range(count)], count


def _places_of_parts(sizes: list[int]) -> dict[int, torch.Tensor]:
    return {number: torch.zeros(size, dtype=torch.int64) for number, size in enumerate(sizes)}


def _any_directions(
    matrix: torch.Tensor, q: int = 6, niter: int = 2, M: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    del niter, M
    rows, columns = matrix.shape[-2:]
    return matrix.new_empty((rows, q)), matrix.new_empty(q), matrix.new_empty((columns, q))


def _any_basis(matrices: list[torch.Tensor], alpha: float) -> torch.Tensor:
    del alpha
    return torch.empty((matrices[0].shape[1],) * 2)


def _any_factors(
    self: Any, basis: torch.Tensor, weight: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    del self, basis
    return torch.empty(weight.shape), torch.empty(weight.shape[1])


def _dense_rotation(
    self: Any, adapter: str, *, device: torch.device, dtype: torch.dtype
) -> tuple[torch.Tensor, ...]:
    """Return FRoD's tensors, the basis copied from the host, the sparse rotation as a dense one."""
    del device
    basis = self.frod_V[adapter].to(dtype).clone()
    places = self.frod_s_indices[adapter].clone().unbind()
    values = self.frod_lambda_s_values[adapter].to(dtype)
    rotation = torch.zeros_like(basis).index_put_(places, values)
    spectrum = self.frod_lambda_l[adapter].to(dtype)
    return self.frod_U[adapter].to(dtype), basis, rotation, spectrum


def _dense_product(self: Any, rows: torch.Tensor, rotation: torch.Tensor) -> torch.Tensor:
    del self
    return rows @ rotation.t()


NONE = StandIn()
# Which permutation decides nothing; PEFT makes each with a loop over rows.
BOFT = StandIn(
    replaced=(
        (BOFTLayer, "block_butterfly_perm", _any_order),
        (BOFTLayer, "perm2mat", _any_permutation),
    )
)
OF_METHOD: Mapping[str, StandIn] = {"boft": BOFT}
OF_PEFT_TYPE: Mapping[str, StandIn] = {
    # PEFT 0.21.2 makes parameters of the rank numbers where it casts them to the base's precision.
    "ADALORA": StandIn(
        frozen=(".ranknum.",),
        notes=("the numbers of ranks are constants, which PEFT 0.21 trains in bf16",),
    ),
    "ADAMSS": StandIn(
        replaced=(
            (adamss, "clustering_Z", _equal_parts),
            (adamss, "seg_locations", _places_of_parts),
            (torch, "svd_lowrank", _any_directions),  # of every part, which takes minutes
        ),
        values={"use_dynamic_rank": False},
        notes=(
            "AdaMSS clusters the weights' rows and may lower ranks by what they hold: parts of "
            "equal size and whole ranks stand in, so that the count is at most what is told "
            "unless a part has fewer rows than its rank",
        ),
    ),
    # PEFT leaves the permutations on the host, and copies them to the device in each pass.
    "BOFT": StandIn(replaced=BOFT.replaced, on_host=("boft_P",)),
    "FROD": StandIn(
        replaced=(
            (frod_model, "_projection_from_weights", _any_basis),
            (frod.FrodLayer, "_calculate_frod_u_and_lambda", _any_factors),
            (frod.Linear, "_get_frod_tensors", _dense_rotation),
            (frod.Linear, "_sparse_activation_mm", _dense_product),
        ),
        values={"progressbar": False},
        answers=True,
        on_host=("frod_V", "frod_s_"),
        offloads=True,
        notes=(
            "FRoD's joint decomposition of the weights is not computed, and its sparse rotation is "
            "a dense matrix",
        ),
    ),
}
