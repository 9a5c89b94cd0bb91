"""What every tuner layer of our own does: hold adapters, apply them in order, merge, unmerge.

A merge puts new tensors in the place of the module's own and keeps these, so that unmerging
gives back the very same numbers, and tied weights elsewhere are not touched.
"""

import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from peft.tuners._buffer_dict import BufferDict
from peft.tuners.tuners_utils import BaseTunerLayer, check_adapters_to_merge
from torch import Tensor, nn

from training_worker.tuners.layouts import layout_of

Pair = tuple[Tensor, Tensor | None]
"""A weight, in the shape the module has it in, and its bias if any."""


class TunerLayer(nn.Module, BaseTunerLayer):
    """A module with adapters on it.

    A method says in `adapter_layer_names` what it trains and in `buffer_names` what stays as it
    is drawn, and fills in `start`, `adapt` and `merge_one`.
    """

    other_param_names: tuple[str, ...] = ("settings",)
    buffer_names: tuple[str, ...] = ()  # what an adapter has drawn once, and saves

    def __init__(self, base_layer: nn.Module, adapter: str, config: Any) -> None:
        """Put a first adapter on a module."""
        super().__init__()
        self.base_layer = base_layer
        self._disable_adapters = False
        self.merged_adapters: list[str] = []
        self._unmerged: Pair | None = None
        self.layout = layout_of(self.get_base_layer())
        self.in_features, self.out_features = self.layout.inputs, self.layout.outputs
        self.settings: dict[str, Any] = {}
        for name in self.adapter_layer_names:
            setattr(self, name, nn.ParameterDict())
        for name in self.buffer_names:
            setattr(self, name, BufferDict(persistent=True))
        self._active_adapter = adapter
        self.train(base_layer.training)  # no dropout in a model that is put to use
        self.update_layer(adapter, config)

    @abstractmethod
    def start(self, config: Any) -> Mapping[str, Tensor]:
        """Return the first values of an adapter's weights, and its buffers, by name."""

    @abstractmethod
    def adapt(self, result: Tensor, x: Tensor, adapter: str) -> Tensor:
        """Return what one adapter makes of the result on x, in whatever precision comes out."""

    @abstractmethod
    def merge_one(self, weight: Tensor, bias: Tensor | None, adapter: str) -> Pair:
        """Return the weight and bias that do the same as the module with one adapter on it."""

    def update_layer(self, adapter: str, config: Any) -> None:
        """Add an adapter, or start it anew."""
        precision = self.weight.dtype  # PEFT widens it after this, unless told not to
        for name, drawn in self.start(config).items():
            value, is_trained = drawn.to(precision), name in self.adapter_layer_names
            getattr(self, name)[adapter] = nn.Parameter(value) if is_trained else value
        self.settings[adapter] = config
        self._move_adapter_to_device_of_base_layer(adapter)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def _move_adapter_to_device_of_base_layer(
        self, adapter_name: str, device: torch.device | None = None
    ) -> None:
        """Move an adapter, in its own precision: PEFT's would round what was loaded in fp32."""
        target = device or self.weight.device
        for name in (*self.adapter_layer_names, *self.buffer_names):
            held = getattr(self, name)
            if adapter_name not in held or held[adapter_name].is_meta:
                continue
            own = held[adapter_name]
            moved = own.data.to(target)
            is_trained = isinstance(own, nn.Parameter)
            held[adapter_name] = nn.Parameter(moved, own.requires_grad) if is_trained else moved

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return the module's result with the active adapters on it, one after the other."""
        if self.disable_adapters and self.merged:
            self.unmerge()
        result: Tensor = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters or self.merged:
            return result
        precision = result.dtype
        for adapter in self.active_adapters:
            if adapter in self.settings:
                result = self.adapt(result, x, adapter)
        return result.to(precision)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Put adapters into the module's own weight and bias; the active ones if none is named.

        Raises:
            ValueError: `safe_merge` is asked for, and a merged number is not finite.
        """
        for adapter in check_adapters_to_merge(self, adapter_names):
            if adapter not in self.settings:
                continue
            pair = self._merged([*self.merged_adapters, adapter])
            if safe_merge and not all(one.isfinite().all() for one in pair if one is not None):
                raise ValueError(
                    "NaNs detected in the merged weights: those that the adapter "
                    f"{adapter} makes are not all finite"
                )
            self._put(*pair)
            self.merged_adapters.append(adapter)

    def unmerge(self) -> None:
        """Give the module back its own weight and bias."""
        if self._unmerged is None:
            warnings.warn("Already unmerged. Nothing to do.", stacklevel=2)
            return
        base: Any = self.get_base_layer()
        weight, bias = self._unmerged
        for own in (weight, bias):
            if own is not None:  # the model may have been moved in between
                own.data = own.data.to(base.weight.device, base.weight.dtype)
        base.weight = weight
        if hasattr(base, "bias"):
            base.bias = bias
        self._unmerged = None
        self.merged_adapters.clear()

    def _merged(self, adapters: Sequence[str]) -> Pair:
        """Return the module's own pair with the adapters in it, rounded once."""
        weight, bias = self._own()
        precision = weight.dtype
        wide = torch.promote_types(precision, torch.float32)
        pair: Pair = (weight.detach().to(wide), None if bias is None else bias.detach().to(wide))
        with torch.no_grad():
            for adapter in adapters:
                pair = self.merge_one(*pair, adapter)
        return pair[0].to(precision), None if pair[1] is None else pair[1].to(precision)

    def _own(self) -> Pair:
        if self._unmerged is not None:
            return self._unmerged
        base: Any = self.get_base_layer()
        return base.weight, getattr(base, "bias", None)

    def _put(self, weight: Tensor, bias: Tensor | None) -> None:
        base: Any = self.get_base_layer()
        self._unmerged = self._own()
        base.weight = nn.Parameter(weight, requires_grad=base.weight.requires_grad)
        if bias is not None:
            base.bias = nn.Parameter(bias, requires_grad=base.weight.requires_grad)

    def __repr__(self) -> str:
        """Return the module's tree, with the method before its first line, as PEFT's do."""
        return f"{type(self).__module__.rpartition('.')[2]}.{super().__repr__()}"
