"""Optimizers whose step on a matrix has singular values near 1."""

from metadata.optimizers.adaptive import WEIGHT_DECAY
from metadata.optimizers.spec import OptimizerSpec

MUON = OptimizerSpec(
    name="muon",
    title="Muon, AdamW on vectors and embeddings",
    target="training_worker.optimizers.muon.build_muon",
    parameters=(WEIGHT_DECAY,),
    state_bytes=4.0,  # of a matrix; vectors and embeddings have AdamW's 8
    rate_source="arXiv:2502.16982: scaled by 0.2 sqrt(max(rows, columns)) it takes AdamW's",
    methods=("full", "lora", "rslora", "lora_gaussian", "dora"),
    paper="arXiv:2502.16982",
)
ENTRIES = (MUON,)
