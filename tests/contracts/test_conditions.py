"""Every condition of a method says its rule in words: the catalogue shows it."""

import pytest

from metadata.methods import METHODS
from metadata.methods.spec import MethodSpec

CONDITIONAL = [spec for spec in METHODS.values() if spec.conditions]


@pytest.mark.parametrize("spec", CONDITIONAL, ids=lambda spec: spec.name)
def test_every_condition_says_its_rule(spec: MethodSpec) -> None:
    rules = [(condition.__doc__ or "").strip().partition("\n")[0] for condition in spec.conditions]

    assert all(rule.endswith(".") for rule in rules), rules
    assert not any("{" in rule for rule in rules), rules
    assert len(set(rules)) == len(rules), "two conditions say the same"
