"""The table of PEFT methods: one entry each, in the file of its family."""

from collections.abc import Mapping

from metadata.methods import (
    adaptive_rank,
    attention,
    blocks,
    chained,
    embeddings,
    low_rank,
    norms,
    orthogonal,
    products,
    prompt,
    scaling,
    selective,
    shared,
    sparse,
    spectral,
    starts,
    subspaces,
    variants,
)
from metadata.methods.spec import MethodSpec

FAMILIES = (
    low_rank,
    starts,
    adaptive_rank,
    variants,
    chained,
    shared,
    products,
    blocks,
    scaling,
    selective,
    spectral,
    orthogonal,
    sparse,
    norms,
    embeddings,
    prompt,
    subspaces,
    attention,
)
METHODS: Mapping[str, MethodSpec] = {
    spec.name: spec for family in FAMILIES for spec in family.ENTRIES
}
