"""Each method of PEFT is in the table, or is named with the reason why it is not."""

import pytest
from peft import PEFT_TYPE_TO_CONFIG_MAPPING

import metadata.methods
from metadata.methods import FAMILIES, METHODS

IN_TABLE = {spec.target.rpartition(".")[2] for spec in METHODS.values()}
REASONS = "\n".join(part.__doc__ or "" for part in (metadata.methods, *FAMILIES))


@pytest.mark.parametrize("kind", PEFT_TYPE_TO_CONFIG_MAPPING, ids=lambda kind: kind.value)
def test_a_method_of_peft_is_in_the_table_or_left_out_with_a_reason(kind) -> None:
    is_there = PEFT_TYPE_TO_CONFIG_MAPPING[kind].__name__ in IN_TABLE

    is_left_out = f"`{kind.value.lower()}`" in REASONS

    assert is_there is not is_left_out
