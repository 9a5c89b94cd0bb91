"""The table of PEFT methods: one entry each, in the file of its family.

Of PEFT's methods these are left out, beside those that the files of families name:

- `xlora`, `poly`, `multitask_prompt_tuning` mix several adapters, or serve several tasks, and a
  task here is one.
- `adamss` groups each weight's singular vectors by k-means, so that how many weights it trains
  depends on the base's weights, and no forecast knows it from the sizes.
- `beft` trains the biases of value maps: `bitfit` trains those of any maps that are targeted.
- `shadow` trains a second decoder beside the model, with a loss of its own that PEFT computes only
  where it computes the model's.
"""

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
