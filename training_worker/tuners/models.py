"""What every tuner of our own does: read a config, find the targets, put layers in their place."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from peft import PeftConfig, PeftType
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from torch import nn

from training_worker.tuners.layers import TunerLayer
from training_worker.tuners.registration import kind_of


@dataclass
class TunerConfig(PeftConfig):
    """Which modules a method of ours is put on; what each field says is as PEFT has it.

    Attributes:
        init_weights: Whether the output starts as the base model's; else numbers are drawn.
    """

    method: ClassVar[str]

    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    modules_to_save: list[str] | None = None
    layers_to_transform: list[int] | int | None = None
    layers_pattern: list[str] | str | None = None
    init_weights: bool = True

    def __post_init__(self) -> None:
        """Take lists as sets, as PEFT does, and refuse what does not go together."""
        super().__post_init__()  # type: ignore[no-untyped-call]  # PEFT's has no types
        self.peft_type = PeftType[kind_of(self.method)]
        for name in ("target_modules", "exclude_modules"):
            value = getattr(self, name)
            setattr(self, name, set(value) if isinstance(value, list) else value)
        by_expression = isinstance(self.target_modules, str) and self.target_modules != "all-linear"
        for name in ("layers_to_transform", "layers_pattern"):
            if by_expression and getattr(self, name) is not None:
                raise ValueError(f"`{name}` cannot be used when `target_modules` is a str.")
        if self.layers_pattern and self.layers_to_transform is None:
            raise ValueError("`layers_pattern` needs `layers_to_transform`, which says its layers.")

    def require_whole(self, name: str, lower: int, upper: int | None = None) -> None:
        """Refuse a field's value that is not a whole number within bounds."""
        value = getattr(self, name)
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if not is_whole or value < lower or (upper is not None and value > upper):
            most = "" if upper is None else f" to {upper}"
            raise ValueError(f"`{name}` must be a whole number from {lower}{most}, got {value!r}.")


class TunerModel(BaseTuner):
    """A base model with layers of one method of ours."""

    target_module_mapping: Any = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    layer_types: ClassVar[Mapping[type[nn.Module], type[TunerLayer]]]
    """By the kind of a module, the first that it is one of, the layer that is put on it."""

    def inject_adapter(
        self, model: nn.Module, adapter_name: str, *args: Any, **kwargs: Any
    ) -> None:
        """Put an adapter on the targeted modules.

        Raises:
            ValueError: The adapter is named like a module: PEFT, saving any other adapter, would
                leave out all that is in the module.
        """
        if any(adapter_name in name.split(".") for name, _ in _base_modules(model)):
            raise ValueError(
                f"an adapter must not be named like a module of the model, as {adapter_name!r} is"
            )
        super().inject_adapter(model, adapter_name, *args, **kwargs)

    def _create_and_replace(
        self,
        peft_config: Any,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        del parameter_name
        if isinstance(target, TunerLayer) and isinstance(target, self.tuner_layer_cls):
            target.update_layer(adapter_name, peft_config)
            return
        base = target.get_base_layer() if isinstance(target, BaseTunerLayer) else target
        make = next(
            (made for kind, made in self.layer_types.items() if isinstance(base, kind)), None
        )
        if make is None:
            kinds = ", ".join(kind.__name__ for kind in self.layer_types)
            raise ValueError(
                f"Target module {current_key} is not supported: {peft_config.method} can be put on "
                f"{kinds}, and it is a {type(base).__name__}."
            )
        layer = make(target, adapter_name, peft_config)
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        self._replace_module(parent, target_name, layer, target)


def _base_modules(model: nn.Module) -> Any:
    """Return the model's own modules: not those of adapters, which are named after these."""
    layers = tuple(
        f"{name}." for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)
    )
    return [
        (name, module)
        for name, module in model.named_modules()
        if not (layers and name.startswith(layers))
    ]
