"""The table of PEFT methods: one entry each, in the file of its family."""

from collections.abc import Mapping

from metadata.methods import low_rank, scaling, selective
from metadata.methods.spec import MethodSpec

METHODS: Mapping[str, MethodSpec] = {
    spec.name: spec for family in (low_rank, scaling, selective) for spec in family.ENTRIES
}
