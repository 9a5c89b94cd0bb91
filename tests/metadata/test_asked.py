"""The space, asked one hyperparameter after another."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from metadata.config_space import active_names, build_space
from metadata.records import Configuration
from metadata.space import asked, exists, sample, values_of


@pytest.fixture(scope="module")
def drawn(world: ModuleType) -> list[Configuration]:
    found: list[Configuration] = sample(world.MODEL, count=40, rng=np.random.default_rng(0))
    return found


def test_the_values_of_a_configuration_give_it_back(
    world: ModuleType, drawn: list[Configuration]
) -> None:
    for one in drawn:
        values = values_of(one, world.MODEL)

        again = asked(world.MODEL, lambda hyperparameter, v=values: v[hyperparameter.name])

        assert again.method == one.method
        assert (again.optimizer.name, again.batch_size) == (one.optimizer.name, one.batch_size)
        rate = one.optimizer.learning_rate
        assert again.optimizer.learning_rate == (rate and pytest.approx(rate, rel=0.01))


def test_the_active_names_are_those_that_the_space_knows(world: ModuleType) -> None:
    for drawn in build_space(world.MODEL).sample_configuration(300):
        assert set(active_names(dict(drawn))) == set(drawn)


def test_nothing_is_asked_that_the_choices_leave_inactive(world: ModuleType) -> None:
    names: list[str] = []

    def ask(hyperparameter: Any) -> Any:
        names.append(hyperparameter.name)
        return hyperparameter.default_value

    made = asked(world.MODEL, ask, methods=["lora", "ia3"], optimizers=["adamw"])

    assert exists(made, world.MODEL)
    assert len(names) == len(set(names))
    assert "method:lora:r" in names
    assert not any(name.startswith("method:ia3") for name in names)
