"""The table of PEFT methods: one entry each, in the file of its family."""

from collections.abc import Mapping

from metadata.methods import low_rank, scaling, selective, starts
from metadata.methods.spec import MethodSpec

FAMILIES = (low_rank, starts, scaling, selective)
METHODS: Mapping[str, MethodSpec] = {
    spec.name: spec for family in FAMILIES for spec in family.ENTRIES
}
