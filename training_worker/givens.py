"""Arguments of a method that come from the model or the data: a table, by the source's name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import gcd
from typing import Any

from peft import LoraGAConfig
from peft.tuners.lora.config import BdLoraConfig, CordaConfig, KasaConfig, VeloraConfig

from metadata.architectures import FAMILIES
from metadata.methods.variants import ROW_SHARDED
from metadata.parameters import number
from metadata.records import Configuration
from training_worker.context_prompt import choose_context
from training_worker.setting import Setting
from training_worker.sources import attention_name, embedding_name, frequent_tokens
from training_worker.targets import Targets
from training_worker.tuners.norms import norm_names


@dataclass(frozen=True)
class Scene:
    """Where a method is put: the model, what is asked, its targets, and the run's setting."""

    model: Any
    configuration: Configuration
    targets: Targets
    setting: Setting


def _whole(scene: Scene, name: str) -> int:
    return int(number(scene.configuration.method.values, name))


def _context(scene: Scene) -> list[tuple[int, int]]:
    return choose_context(scene.setting.batches, _whole(scene, "num_virtual_tokens"))


def group_size(scene: Scene) -> int:
    """Return the largest power of two up to 64, which kernels like, that divides all outputs."""
    modules = (scene.model.get_submodule(name) for name in scene.targets.names)
    return gcd(64, *(module.out_features for module in modules))


def _blocks(scene: Scene) -> BdLoraConfig:
    """Return which maps have blocks in A, and which in B, by the ends of their names."""
    family = FAMILIES.get(scene.model.config.model_type, FAMILIES["llama"])
    kinds: tuple[list[str], list[str]] = ([], [])
    for ending, role in family.modules:
        if ending in scene.targets.endings:
            kinds[role not in ROW_SHARDED].append(ending.rpartition(".")[2])
    values = scene.configuration.method.values
    return BdLoraConfig(
        target_modules_bd_a=kinds[0],
        target_modules_bd_b=kinds[1],
        nblocks=int(number(values, "nblocks")),
    )


def _of(config: type[Any], *names: str, **fixed: object) -> Callable[[Scene], Any]:
    """Return a part of LoRA's config that is made of some of the values."""

    def make(scene: Scene) -> Any:
        values = scene.configuration.method.values
        return config(**{name: values[name] for name in names}, **fixed)

    return make


GIVENS: Mapping[str, Callable[[Scene], Any]] = {
    "bdlora": _blocks,
    "attention": lambda scene: attention_name(scene.model),
    "context_ids": lambda scene: [token for token, _ in _context(scene)],
    "context_mask": lambda scene: [1 for _ in _context(scene)],
    "context_types": lambda scene: [kind for _, kind in _context(scene)],
    "corda": lambda scene: CordaConfig(),
    "embedding": lambda scene: [embedding_name(scene.model)],
    "endings": lambda scene: list(scene.targets.endings),
    "feedforward": lambda scene: list(scene.targets.feedforward),
    "first_steps": lambda scene: scene.setting.steps // 10,
    "frequent_tokens": lambda scene: frequent_tokens(
        scene.model, scene.setting.batches, _whole(scene, "tokens")
    ),
    "group_size": group_size,
    "is_transposed": lambda scene: scene.targets.transposed,
    "kasa": _of(KasaConfig, "beta", "gamma"),
    "last_steps": lambda scene: max(0, min(3 * scene.setting.steps // 10, scene.setting.steps - 2)),
    "layers": lambda scene: scene.model.config.num_hidden_layers,
    "lora_ga": lambda scene: LoraGAConfig(),
    "velora": _of(VeloraConfig, "num_groups", "scale", init_type="batch_average"),
    "norms": lambda scene: norm_names(scene.model),
    "steps": lambda scene: max(2, scene.setting.steps),  # AdaLoRA looks at two before it gives
}

# Given to every method whose config has an argument of the name.
USUAL: Mapping[str, str] = {
    "target_modules": "endings",
    "feedforward_modules": "feedforward",
    "fan_in_fan_out": "is_transposed",
}
