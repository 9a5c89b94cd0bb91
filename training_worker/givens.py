"""Arguments of a method that come from the model or the data: a table, by the source's name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import gcd
from typing import Any

from peft import LoraGAConfig
from peft.tuners.lora.config import CordaConfig

from metadata.records import Configuration
from training_worker.setting import Setting
from training_worker.targets import Targets


@dataclass(frozen=True)
class Scene:
    """Where a method is put: the model, what is asked, its targets, and the run's setting."""

    model: Any
    configuration: Configuration
    targets: Targets
    setting: Setting


def group_size(scene: Scene) -> int:
    """Return the largest power of two up to 64, which kernels like, that divides all outputs."""
    modules = (scene.model.get_submodule(name) for name in scene.targets.names)
    return gcd(64, *(module.out_features for module in modules))


GIVENS: Mapping[str, Callable[[Scene], Any]] = {
    "corda": lambda scene: CordaConfig(),
    "endings": lambda scene: list(scene.targets.endings),
    "feedforward": lambda scene: list(scene.targets.feedforward),
    "first_steps": lambda scene: scene.setting.steps // 10,
    "group_size": group_size,
    "is_transposed": lambda scene: scene.targets.transposed,
    "last_steps": lambda scene: max(0, min(3 * scene.setting.steps // 10, scene.setting.steps - 2)),
    "lora_ga": lambda scene: LoraGAConfig(),
    "steps": lambda scene: max(2, scene.setting.steps),  # AdaLoRA looks at two before it gives
}

# Given to every method whose config has an argument of the name.
USUAL: Mapping[str, str] = {
    "target_modules": "endings",
    "feedforward_modules": "feedforward",
    "fan_in_fan_out": "is_transposed",
}
