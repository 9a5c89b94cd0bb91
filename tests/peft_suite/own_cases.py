"""A pytest plugin that puts our tuners in the place of PEFT's in its own test of custom models.

PEFT's tests are parametrised by lists of its module; they are filled anew before pytest reads
them, and only what is run with a config of ours is kept.
"""

from typing import Any

import pytest

from tests import test_custom_models as suite  # PEFT's, from the folder that it is run in
from training_worker.tuners import (
    BitFitConfig,
    BOnlyConfig,
    LinChainConfig,
    PropulsionConfig,
    SsfConfig,
)

LINEAR = (
    ("MLP", {"target_modules": "lin0"}),
    ("MLP", {"target_modules": ["lin0"]}),
    ("MLP", {"target_modules": ["lin1"]}),
    ("MLP", {"target_modules": ["lin0", "lin1"]}),
    ("MLP", {"target_modules": ["lin0"], "modules_to_save": ["lin1"]}),
    ("MLP2", {"target_modules": ["lin0", "lin1"]}),
    ("EmbConv1D", {"target_modules": ["conv1d"]}),
    ("EmbConv1D", {"target_modules": ["conv1d", "lin0"]}),
)
TABLES = (
    ("EmbConv1D", {"target_modules": ["emb"]}),
    ("EmbConv1D", {"target_modules": ["emb", "conv1d"]}),
)
NORMS = (
    ("MLP_LayerNorm", {"target_modules": ["layernorm0"]}),
    ("MLP_LayerNorm", {"target_modules": ["layernorm0", "lin1"]}),
    ("Conv2d", {"target_modules": ["conv2d"]}),
    ("Conv2d", {"target_modules": ["conv2d", "lin0"]}),
)
CHAINS = (
    {},
    {"chain_bias": True, "chain_init": "orthogonal"},
    {"links": 1, "chain_init": "identity", "lora_dropout": 0.1},
)
# A config, what else it is given, and the models it is put on. PEFT's tests give the MLPs numbers
# up to 90 and train at a rate of 0.5: there a product of many factors must start small to stay
# finite, as must a power.
OURS: tuple[tuple[Any, dict[str, Any], tuple[Any, ...]], ...] = (
    *((LinChainConfig, chain | {"lora_alpha": 1}, LINEAR[:6]) for chain in CHAINS),
    *((LinChainConfig, chain, LINEAR[6:]) for chain in CHAINS),
    (PropulsionConfig, {"degree": 1}, (*LINEAR, *TABLES)),
    (SsfConfig, {}, (*LINEAR, *NORMS)),
    (BOnlyConfig, {}, LINEAR),
    (BitFitConfig, {}, LINEAR),
)
CONFIGS = tuple(dict.fromkeys(config for config, _, _ in OURS))


def cases() -> list[Any]:
    """Return rows as in PEFT's TEST_CASES."""
    return [
        (f"{config.method} {number} {model}", model, config, values | where)
        for config, values, models in OURS
        for number, (model, where) in enumerate(models)
    ]


def pairs() -> list[Any]:
    """Return rows as in PEFT's list of two adapters that are active at once."""
    return [
        (
            f"{config.method} {first} {second}",
            config.method,
            config,
            {"target_modules": [first], "init_weights": False, **values},
            {"target_modules": [second], "init_weights": False, **values},
        )
        for config, values, _ in OURS
        for first, second in (("lin0", "lin0"), ("lin0", "lin1"))
    ]


def pytest_configure() -> None:
    """Fill PEFT's lists with our cases."""
    suite.TEST_CASES[:] = cases()
    suite.MULTIPLE_ACTIVE_ADAPTERS_TEST_CASES[:] = pairs()
    suite.ALL_PEFT_CONFIG_CLASSES[:] = CONFIGS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what is run with a config of ours."""
    items[:] = [item for item in items if _is_ours(item)]


def _is_ours(item: pytest.Item) -> bool:
    call = getattr(item, "callspec", None)
    return call is not None and call.params.get("config_cls") in CONFIGS
