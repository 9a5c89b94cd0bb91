"""A model without weights, and with a method on it: shapes that a step can run on.

Fake tensors on the CPU stand for its weights. A method that looks at numbers while it starts gets
some: weights that are one number each, seen as many, so that they need no memory; fakes take their
place afterwards.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from transformers import AutoConfig, AutoModelForCausalLM

from metadata.errors import InvalidRequest
from metadata.records import Quantization
from training_worker.simulation.quantized import quantize

META = torch.device("meta")
Put = Callable[[nn.Module], nn.Module]
# What transformers raises of a config that says what cannot be.
UNBUILDABLE = (
    *(ValueError, TypeError, LookupError, ArithmeticError, AttributeError),
    *(RuntimeError, ImportError, AssertionError),
)
LOOKED_AT_NUMBERS = (DataDependentOutputException, DynamicOutputShapeException)


def read_model_config(said: Mapping[str, Any]) -> Any:
    """Return the transformers config that a `config.json` says.

    Raises:
        InvalidRequest: It is of no architecture that transformers knows.
    """
    kind = said.get("model_type")
    try:
        if not isinstance(kind, str):
            raise ValueError
        return AutoConfig.for_model(**{**said, "model_type": kind})
    except (*UNBUILDABLE, StrictDataclassError) as error:
        raise InvalidRequest(
            f"A model is simulated by its config.json, of an architecture that transformers knows; "
            f"its model_type is {str(kind)[:60]!r}. Check the file, or update transformers.",
            param="model",
        ) from error


def build_shell(
    config: Any,
    mode: FakeTensorMode,
    *,
    dtype: torch.dtype,
    attention: str,
    quantization: Quantization,
    put: Put,
) -> nn.Module:
    """Return a model of fakes with a method put on it; to be called outside the mode.

    Raises:
        InvalidRequest: The architecture is no causal language model.
        InvalidConfiguration: It cannot be quantised here.
    """
    model = _empty(config, dtype, attention, quantization)
    _give_fakes(model, mode)
    try:
        with mode, _conversions():
            return put(model)
    except LOOKED_AT_NUMBERS:
        model = _empty(config, dtype, attention, quantization)
        swap_tensors(model, _one_number)
        model = put(model)
        _give_fakes(model, mode)
        return model


def _empty(
    config: Any, dtype: torch.dtype, attention: str, quantization: Quantization
) -> nn.Module:
    try:
        with META:
            model: nn.Module = AutoModelForCausalLM.from_config(
                config, dtype=dtype, attn_implementation=attention, trust_remote_code=False
            )
    except UNBUILDABLE as error:
        raise InvalidRequest(
            f"A model is simulated as a causal language model; {config.model_type!r} cannot be "
            f"built as one ({type(error).__name__}). Check its config.json.",
            param="model",
        ) from error
    with META:
        quantize(model, quantization)
    model.tie_weights()  # type: ignore[operator]  # it is a model of transformers
    return model.requires_grad_(False)


def _give_fakes(model: nn.Module, mode: FakeTensorMode) -> None:
    def fake(tensor: torch.Tensor) -> torch.Tensor:
        with mode:
            return torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")

    swap_tensors(model, fake)


def _one_number(tensor: torch.Tensor) -> torch.Tensor:
    """Return a real tensor of the shape in which every number is the same memory."""
    number = torch.full((1,) * tensor.dim(), 1e-2 if tensor.is_floating_point() else 1)
    return number.to(tensor.dtype).expand(tensor.shape)


def swap_tensors(model: nn.Module, make: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Replace weights, buffers and tensors kept beside them, shared ones by shared ones.

    `module.to` cannot do it: it writes into the tensors that are there.
    """
    made: dict[int, torch.Tensor] = {}
    originals: list[torch.Tensor] = []  # alive, so that no id comes up again

    def swapped(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in made:
            new = make(tensor.detach())
            if isinstance(tensor, nn.Parameter):
                new = nn.Parameter(new, requires_grad=tensor.requires_grad)
            made[id(tensor)] = new
            originals.append(tensor)
        return made[id(tensor)]

    for module in model.modules():
        for holder in (module._parameters, module._buffers, vars(module)):
            _swap_in(holder, swapped)


def _swap_in(holder: Any, swapped: Callable[[torch.Tensor], torch.Tensor]) -> None:
    pairs = holder.items() if isinstance(holder, dict) else enumerate(holder)
    for key, value in list(pairs):
        if isinstance(value, torch.Tensor):
            holder[key] = swapped(value)
        elif isinstance(value, dict | list) and key != "_modules":
            _swap_in(value, swapped)


@contextmanager
def _conversions() -> Iterator[None]:
    """Let `module.to` and copies have fakes: torch refuses the one and warns of the other."""
    swap = torch.utils.swap_tensors

    def change(old: torch.Tensor, new: torch.Tensor) -> None:
        old.data = new.data

    torch.utils.swap_tensors = change
    try:
        with warnings.catch_warnings():
            # said where PEFT copies a module; nobody reads what the pointer points to
            warnings.filterwarnings("ignore", message="Accessing the data pointer of FakeTensor")
            yield
    finally:
        torch.utils.swap_tensors = swap
