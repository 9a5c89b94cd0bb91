"""PEFT knows our methods once, and what it cannot know is refused with the reason."""

import enum
import importlib
from types import SimpleNamespace
from typing import Any, ClassVar

import peft
import pytest
from peft import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING, PeftType
from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING

from training_worker.tuners import registration, ssf

OURS = ("LINCHAIN", "PROPULSION", "SSF", "B_ONLY_LORA", "BITFIT")


@pytest.mark.parametrize("method", OURS)
def test_peft_knows_each_method_as_one_of_its_own(method: str) -> None:
    kind = PeftType(f"PEFTWISE_{method}")

    assert kind is PeftType[f"PEFTWISE_{method}"] is getattr(PeftType, f"PEFTWISE_{method}")
    assert list(PeftType).count(kind) == 1
    assert isinstance(kind, str)
    assert kind == kind.value == f"PEFTWISE_{method}"
    assert PEFT_TYPE_TO_CONFIG_MAPPING[kind].method == method.lower()
    tuner = PEFT_TYPE_TO_TUNER_MAPPING[kind]
    assert tuner.prefix == PEFT_TYPE_TO_PREFIX_MAPPING[kind]
    assert all(
        name.startswith(tuner.prefix)
        for layer in tuner.layer_types.values()
        for name in (*layer.adapter_layer_names, *layer.buffer_names)
    )


def test_once_more_registers_nothing_new() -> None:
    before = list(PeftType)

    again = importlib.reload(ssf)

    assert list(PeftType) == before
    assert PEFT_TYPE_TO_CONFIG_MAPPING[PeftType["PEFTWISE_SSF"]] is again.SsfConfig
    assert peft.get_peft_config({"peft_type": "PEFTWISE_SSF"}).__class__ is again.SsfConfig


class Plain(enum.Enum):
    """Methods that are no strings."""

    LORA = "LORA"


class Named:
    """Methods that are no enum."""

    __members__: ClassVar[dict[str, str]] = {}
    LORA = "LORA"


@pytest.mark.parametrize("other", [Plain, Named])
def test_a_peft_that_names_its_methods_otherwise_is_refused(
    other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "PeftType", other)

    with pytest.raises(ImportError, match="Use a version of peft"):
        registration.register("anything", object, SimpleNamespace(prefix="anything_"))


def test_a_prefix_that_peft_has_taken_is_refused() -> None:
    with pytest.raises(ImportError, match="a method of PEFT's"):
        registration.register("greedy", object, SimpleNamespace(prefix="lora_"))
