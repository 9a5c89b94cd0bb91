"""Optimizers that scale each step by past gradients."""

from metadata.optimizers.spec import OptimizerSpec
from metadata.parameters import Float

WEIGHT_DECAY = Float(name="weight_decay", lower=0.0, upper=0.1, default=0.0)

ADAMW = OptimizerSpec(
    name="adamw",
    title="AdamW",
    target="torch.optim.AdamW",
    parameters=(WEIGHT_DECAY,),
    state_bytes=8.0,
    rate_source="the width rule was found with Adam",
    paper="arXiv:1711.05101",
)
LION = OptimizerSpec(
    name="lion",
    title="Lion",
    target="pytorch_optimizer.Lion",
    parameters=(WEIGHT_DECAY,),
    state_bytes=4.0,
    rate_factor=0.2,
    rate_source="arXiv:2302.06675: 3 to 10 times smaller than AdamW's",
    paper="arXiv:2302.06675",
)
ENTRIES = (ADAMW, LION)
