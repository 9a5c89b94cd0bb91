"""Optimizers that find their own learning rate; the schedule's multiple still applies."""

from metadata.optimizers.adaptive import WEIGHT_DECAY
from metadata.optimizers.spec import OptimizerSpec

OWN_RATE = "it finds its own"

DADAPT_ADAMW = OptimizerSpec(
    name="dadapt_adamw",
    title="D-Adaptation AdamW",
    target="pytorch_optimizer.DAdaptAdam",
    parameters=(WEIGHT_DECAY,),
    fixed={"weight_decouple": True},
    state_bytes=12.0,
    has_learning_rate=False,
    rate_source=OWN_RATE,
    paper="arXiv:2301.07733",
)
PRODIGY = OptimizerSpec(
    name="prodigy",
    title="Prodigy",
    target="pytorch_optimizer.Prodigy",
    parameters=(WEIGHT_DECAY,),
    fixed={"safeguard_warmup": True},  # as its authors ask where there is a warm-up
    state_bytes=16.0,
    has_learning_rate=False,
    rate_source=OWN_RATE,
    paper="arXiv:2306.06101",
)
# Both hold the start and the average beside the weights. Their decay is an L2 penalty that counts
# among the gradients from which the rate is found, so that none is offered.
DOG = OptimizerSpec(
    name="dog",
    title="DoG",
    target="training_worker.optimizers.dog.AveragedDoG",
    parameters=(),
    state_bytes=8.0,
    has_learning_rate=False,
    rate_source=OWN_RATE,
    schedules=("constant",),
    paper="arXiv:2302.12022",
)
LDOG = OptimizerSpec(
    name="ldog",
    title="L-DoG",
    target="training_worker.optimizers.dog.AveragedLDoG",
    parameters=(),
    state_bytes=8.0,
    has_learning_rate=False,
    rate_source=OWN_RATE,
    schedules=("constant",),
    paper="arXiv:2302.12022",
)
ENTRIES = (DADAPT_ADAMW, PRODIGY, DOG, LDOG)
