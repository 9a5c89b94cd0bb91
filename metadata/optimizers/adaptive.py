"""Optimizers that scale each step by past gradients."""

from metadata.optimizers.spec import OptimizerSpec
from metadata.parameters import Float

WEIGHT_DECAY = Float(name="weight_decay", lower=0.0, upper=0.1, default=0.0)
FINAL_RATE = Float(name="final_lr", lower=1e-3, upper=10.0, default=0.1, log=True)

ADAMW = OptimizerSpec(
    name="adamw",
    title="AdamW",
    target="training_worker.optimizers.adamw.build_adamw",
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
ADABELIEF = OptimizerSpec(
    name="adabelief",
    title="AdaBelief",
    target="pytorch_optimizer.AdaBelief",
    parameters=(WEIGHT_DECAY,),
    state_bytes=8.0,
    rate_source="arXiv:2010.07468 takes Adam's",
    paper="arXiv:2010.07468",
)
ADABOUND = OptimizerSpec(
    name="adabound",
    title="AdaBound",
    target="pytorch_optimizer.AdaBound",
    parameters=(WEIGHT_DECAY, FINAL_RATE),
    state_bytes=8.0,
    rate_source="arXiv:1902.09843 starts as Adam",
    paper="arXiv:1902.09843",
)
ADAFACTOR = OptimizerSpec(
    name="adafactor",
    title="Adafactor",
    target="torch.optim.Adafactor",
    parameters=(WEIGHT_DECAY,),
    state_bytes=4.0,
    factored=True,
    rate_factor=20.0,
    rate_source="a share of the weights' size: 1e-2 (arXiv:1804.04235) at a width rule of 5e-4",
    methods=("full", "lora", "rslora", "lora_gaussian", "dora"),  # those of matrices
    paper="arXiv:1804.04235",
)
ADAMW_8BIT = OptimizerSpec(
    name="adamw_8bit",
    title="8-bit AdamW",
    target="bitsandbytes.optim.AdamW8bit",
    parameters=(WEIGHT_DECAY,),
    # Two states of a byte, each with an fp32 scale per block of 256. Tensors of fewer than 4,096
    # weights keep AdamW's 8 bytes.
    state_bytes=2.0 + 2 * 4 / 256,
    rate_source="arXiv:2110.02861 keeps AdamW's",
    needs_cuda=True,
    paper="arXiv:2110.02861",
)
SCHEDULE_FREE_ADAMW = OptimizerSpec(
    name="schedule_free_adamw",
    title="schedule-free AdamW",
    target="training_worker.optimizers.schedule_free.AveragedScheduleFreeAdamW",
    parameters=(WEIGHT_DECAY,),
    state_bytes=8.0,
    rate_factor=3.0,
    rate_source="its authors' code: 1 to 10 times AdamW's; their middle",
    schedules=("constant",),
    paper="arXiv:2405.15682",
)
ENTRIES = (
    ADAMW,
    LION,
    ADABELIEF,
    ADABOUND,
    ADAFACTOR,
    ADAMW_8BIT,
    SCHEDULE_FREE_ADAMW,
)
