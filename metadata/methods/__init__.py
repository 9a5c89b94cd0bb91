"""The table of PEFT methods: one entry each, in the file of its family."""

from collections.abc import Mapping

from metadata.methods import (
    adaptive_rank,
    blocks,
    low_rank,
    products,
    scaling,
    selective,
    shared,
    starts,
    variants,
)
from metadata.methods.spec import MethodSpec

FAMILIES = (
    low_rank,
    starts,
    adaptive_rank,
    variants,
    shared,
    products,
    blocks,
    scaling,
    selective,
)
METHODS: Mapping[str, MethodSpec] = {
    spec.name: spec for family in FAMILIES for spec in family.ENTRIES
}
