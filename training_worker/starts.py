"""Starts of LoRA that look at the base model or at data before the first step.

Each is the `injector` of an entry in `metadata.methods.starts`. Those that move weights of the base
into the adapter leave `initial_adapter` on the model: what saving must take off again.

Axes: D inputs of a linear, N tokens, B examples, L tokens.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import peft
import torch
from peft.tuners.lora import LoraLayer
from torch import nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from training_worker.data import IGNORED, Batch
from training_worker.lora_forms import Factors
from training_worker.setting import Setting

ADAPTER = "default"
COVARIANCE_BYTES = 2 * 1024**3  # of fp32 covariances held at once; more take more passes
DAMPING, INVERSE_ERROR = 0.01, 0.05  # PEFT's, of CorDA's covariances
PCA_ITERATIONS = 4  # of the subspace iteration; its error falls with the gap to a power of 9


def from_moved_base(model: Any, config: Any, setting: Setting) -> Any:
    """Return the model with an adapter that took its start from the base's weights."""
    del setting
    return _remember(peft.get_peft_model(model, config))


def from_covariances(model: Any, config: Any, setting: Setting) -> Any:
    """Return the model with CorDA's start: the base's main part for the inputs of the data.

    Paper: Yang et al., arXiv:2406.05223, its instruction-previewed mode. PEFT's own preparation
    holds the covariances of all layers at once, which outweigh the model.
    """
    _require_data(setting, "CorDA")
    targets = _targets(model, config)
    with _in_eval_mode(model), torch.no_grad():
        for names in _groups(targets):
            moments = _moments(model, names, setting.batches, learnt_only=False)
            for name, (moment_DD, _) in moments.items():
                targets[name].eigens = _eigens(targets[name], moment_DD, config.r)
    return _remember(peft.get_peft_model(model, config))


def from_gradients(model: Any, config: Any, setting: Setting) -> Any:
    """Return the model with LoRA-GA's start: the directions of the first full gradient.

    The gradient is that of the mean loss over the data seen, one example at a time. Each linear's
    waits in the host's memory, so that no more than one is on the device beside the weights.

    Paper: Wang, Yu, Li, arXiv:2407.05000.
    """
    _require_data(setting, "LoRA-GA")
    targets = _targets(model, config)
    with _in_eval_mode(model):
        gradients = _gradients(model, targets, setting.batches)
    for name, module in targets.items():
        module._peft_loraga_grad = _Waiting(gradients[name], module.weight.device)
    return _remember(peft.get_peft_model(model, config))


def from_inputs(model: Any, config: Any, setting: Setting) -> Any:
    """Return the model with EVA's start: A's rows are the main directions of the layer's input.

    Principal components of the inputs at learnt tokens, exactly rather than batch by batch as
    PEFT finds them, which never ends where a batch has fewer tokens than the rank.

    Paper: Paischer et al., arXiv:2410.07170.
    """
    _require_data(setting, "EVA")
    directions: dict[str, torch.Tensor] = {}
    with _in_eval_mode(model), torch.no_grad():
        for names in _groups(_targets(model, config)):
            moments = _moments(model, names, setting.batches, learnt_only=True)
            for name, (moment_DD, mean_D) in moments.items():
                covariance_DD = moment_DD - torch.outer(mean_D, mean_D)
                directions[name] = _main_directions(covariance_DD, config.r)
        adapted = peft.get_peft_model(model, config)
        for name, layer in _layers(adapted).items():
            layer.lora_A[ADAPTER].weight.copy_(directions[name])
    return adapted


def from_minor_components(model: Any, config: Any, setting: Setting) -> Any:
    """Return the model with MiCA's start: B, frozen, of the base's least singular vectors.

    It is saved as LoRA, which a loader need not start in the same way again.
    """
    del setting
    adapted = peft.get_peft_model(model, config)
    adapted.peft_config[ADAPTER].init_lora_weights = True
    return adapted


def from_truncated_base(model: Any, config: Any, setting: Setting) -> Any:
    """Return the model with KaSA's start: the base less its least singular parts.

    They are taken off here and noted, so that the result goes on the base as it was; PEFT, which
    takes them off next, finds none left.

    Paper: Wang et al., arXiv:2412.06071.
    """
    del setting
    taken: dict[str, Factors] = {}
    with torch.no_grad():
        for name, module in _targets(model, config).items():
            weight = module.weight
            left, values, right = torch.linalg.svd(weight.float(), full_matrices=False)
            upper, lower = left[:, -config.r :] * values[-config.r :], right[-config.r :]
            weight.copy_(weight.float() - upper @ lower)
            taken[name] = (lower.cpu().clone(), upper.cpu().clone(), 1.0)
    adapted = peft.get_peft_model(model, config)
    adapted.initial_adapter = taken
    return adapted


def kasa_penalty(model: Any) -> torch.Tensor:
    """Return KaSA's weighted size of the diagonals and distance of A and B from orthonormal."""
    loss: torch.Tensor = model.base_model._get_kasa_loss()
    return loss


def to_plain_lora(model: Any, config: Any, setting: Setting) -> Any:
    """Return the model with an adapter that trains in another way, and is plain LoRA when saved."""
    del setting
    adapted = peft.get_peft_model(model, config)
    adapted.initial_adapter = {}
    return adapted


def _layers(model: Any) -> dict[str, Any]:
    """Return the adapted layers by their names in the base model."""
    named = model.base_model.model.named_modules()
    return {name: module for name, module in named if isinstance(module, LoraLayer)}


def _remember(model: Any) -> Any:
    """Note what the start took from the base, in the host's memory."""
    model.initial_adapter = {
        name: (
            layer.lora_A[ADAPTER].weight.detach().float().cpu().clone(),
            layer.lora_B[ADAPTER].weight.detach().float().cpu().clone(),
            layer.scaling[ADAPTER],
        )
        for name, layer in _layers(model).items()
    }
    return model


def _require_data(setting: Setting, name: str) -> None:
    if not setting.batches:
        raise ValueError(f"{name} starts from examples of the training data, and got none")


def _targets(model: nn.Module, config: Any) -> dict[str, Any]:
    """Return the modules that the config's endings name."""
    endings = tuple(f".{ending}" for ending in config.target_modules)
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and name.endswith(endings)
    }


def _groups(targets: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield the names of the targets in groups whose covariances go into memory together."""
    group: list[str] = []
    held = 0
    for name, module in targets.items():
        needed = 4 * _inputs(module) ** 2
        if group and held + needed > COVARIANCE_BYTES:
            yield tuple(group)
            group, held = [], 0
        group.append(name)
        held += needed
    yield tuple(group)


def _inputs(module: Any) -> int:
    return int(module.nx if isinstance(module, Conv1D) else module.in_features)


def _examples(batches: Sequence[Batch]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield ids and labels of one example at a time, without padding, shape (1, L)."""
    for batch in batches:
        rows = zip(batch.input_ids_BL, batch.attention_mask_BL, batch.labels_BL, strict=True)
        for ids_L, mask_L, labels_L in rows:
            length = int(mask_L.sum())
            yield ids_L[None, :length], labels_L[None, :length]


def _moments(
    model: Any, names: Sequence[str], batches: Sequence[Batch], *, learnt_only: bool
) -> Mapping[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return of each linear's input x, over the tokens, the means of x x^T and of x."""
    sums: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    tokens = 0
    chosen_L = torch.empty(0)

    def watch(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: object) -> None:
            del module, output
            seen_ND = inputs[0][0][chosen_L].float()
            moment_DD, sum_D = seen_ND.T @ seen_ND, seen_ND.sum(0)
            if name in sums:
                moment_DD += sums[name][0]
                sum_D += sums[name][1]
            sums[name] = moment_DD, sum_D

        return hook

    handles = [model.get_submodule(name).register_forward_hook(watch(name)) for name in names]
    try:
        for ids_BL, labels_BL in _examples(batches):
            chosen_L = (labels_BL[0] != IGNORED) | (not learnt_only)
            tokens += int(chosen_L.sum())
            model(input_ids=ids_BL)
    finally:
        for handle in handles:
            handle.remove()
    return {
        name: (moment_DD / max(1, tokens), sum_D / max(1, tokens))
        for name, (moment_DD, sum_D) in sums.items()
    }


def _eigens(linear: Any, moment_DD: torch.Tensor, rank: int) -> SimpleNamespace:
    """Return, as PEFT takes it, the first part of W C by singular values, times C^-1 on the right.

    C is damped until its inverse is one, as PEFT does and the paper's code.
    """
    weight = linear.weight.float()
    weight = weight.T if isinstance(linear, Conv1D) else weight
    eye_DD = torch.eye(len(moment_DD), device=moment_DD.device)
    damping = DAMPING
    while True:
        damped_DD = moment_DD + damping * moment_DD.diagonal().mean() * eye_DD
        inverse_DD = torch.linalg.inv(damped_DD)
        if torch.dist(damped_DD @ inverse_DD, eye_DD) < INVERSE_ERROR:
            break
        damping *= 2
    left, values, right = torch.linalg.svd(weight @ damped_DD, full_matrices=False)
    return SimpleNamespace(
        U_WC=left[:, :rank].clone(),
        S_WC=values[:rank].clone(),
        V_WC=(right[:rank] @ inverse_DD).T.contiguous(),
    )


def _main_directions(covariance_DD: torch.Tensor, rank: int) -> torch.Tensor:
    """Return the first eigenvectors as rows, whole bases even of a covariance of lower rank."""
    size = min(2 * rank, len(covariance_DD))
    vectors, _, _ = torch.svd_lowrank(covariance_DD, q=size, niter=PCA_ITERATIONS)
    return vectors[:, :rank].T.contiguous()


class _Waiting:
    """A gradient in the host's memory that goes to the device when PEFT asks for it in fp32."""

    def __init__(self, gradient: torch.Tensor, device: torch.device) -> None:
        self.gradient, self.device = gradient, device

    def to(self, dtype: torch.dtype) -> torch.Tensor:
        return self.gradient.to(self.device, dtype)


def _gradients(
    model: Any, targets: Mapping[str, Any], batches: Sequence[Batch]
) -> Mapping[str, torch.Tensor]:
    """Return the gradient of the mean loss to each target's weight, in the host's memory."""
    sums: dict[str, torch.Tensor] = {}
    learnt = sum(batch.targets for batch in batches)

    def take(name: str) -> Any:
        def hook(weight: torch.Tensor) -> None:
            assert weight.grad is not None
            gradient = weight.grad.float().cpu()
            sums[name] = sums[name] + gradient if name in sums else gradient
            weight.grad = None

        return hook

    handles = []
    for name, module in targets.items():
        module.weight.requires_grad = True
        handles.append(module.weight.register_post_accumulate_grad_hook(take(name)))
    try:
        for ids_BL, labels_BL in _examples(batches):
            logits = model(input_ids=ids_BL).logits[0, :-1].float()
            nats = functional.cross_entropy(
                logits, labels_BL[0, 1:], ignore_index=IGNORED, reduction="sum"
            )
            (nats / max(1, learnt)).backward()
    finally:
        for handle in handles:
            handle.remove()
        for module in targets.values():
            module.weight.requires_grad = False
    return sums


@contextmanager
def _in_eval_mode(model: Any) -> Iterator[None]:
    """Switch dropout off, and the cache, which only takes memory here."""
    was_training, used_cache = model.training, model.config.use_cache
    model.eval()
    model.config.use_cache = False
    try:
        yield
    finally:
        model.train(was_training)
        model.config.use_cache = used_cache
