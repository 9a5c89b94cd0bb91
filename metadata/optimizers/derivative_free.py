"""Optimizers that only ask for the loss: no gradient, so no more memory than inference."""

from metadata.optimizers.adaptive import WEIGHT_DECAY
from metadata.optimizers.spec import OptimizerSpec
from metadata.parameters import Float, Integer

POPULATION = Integer(name="population", lower=4, upper=64, default=20, log=True)
# In units of the projections. Of 0.1, 0.3, 1 and 3 on trec_qc and SmolLM2-135M, 0.3 was best.
SIGMA = Float(name="sigma", lower=0.01, upper=2.0, default=0.3, log=True)
DIMENSION = Integer(name="intrinsic_dimension", lower=8, upper=2000, default=500, log=True)
PERTURBATION = Float(name="perturbation", lower=1e-4, upper=1e-1, default=1e-3, log=True)

CMA = OptimizerSpec(
    name="cma",
    title="CMA-ES",
    target="training_worker.derivative_free.cma.CovarianceMatrixAdaptation",
    kind="population",
    parameters=(POPULATION, SIGMA, DIMENSION),
    state_bytes=0.0,
    has_learning_rate=False,
    rate_source="it has no learning rate",
    methods=("lora",),
    target_modules=("qk",),
    paper="arXiv:2403.01754",
)
FIREWORKS = OptimizerSpec(
    name="fireworks",
    title="fireworks algorithm",
    target="training_worker.derivative_free.fireworks.Fireworks",
    kind="population",
    parameters=(POPULATION, SIGMA, DIMENSION),
    state_bytes=0.0,
    has_learning_rate=False,
    rate_source="it has no learning rate",
    methods=("lora",),
    target_modules=("qk",),
    paper="arXiv:2403.01754",
)
MEZO = OptimizerSpec(
    name="mezo",
    title="MeZO",
    target="training_worker.derivative_free.mezo.build_sgd",
    kind="zeroth_order",
    parameters=(WEIGHT_DECAY, PERTURBATION),
    state_bytes=0.0,
    rate_factor=0.9,
    rate_source="ours: of 0.3 and 0.9 on subjectivity and SmolLM2-135M the latter was far better; "
    "arXiv:2305.17333 has 0.2 to 0.4 of AdamW's usual rate on OPT-13B, over 20,000 steps and more",
    paper="arXiv:2305.17333",
)
MEZO_ADAM = OptimizerSpec(
    name="mezo_adam",
    title="MeZO with Adam",
    target="training_worker.derivative_free.mezo.build_adam",
    kind="zeroth_order",
    parameters=(WEIGHT_DECAY, PERTURBATION),
    state_bytes=8.0,
    rate_factor=0.3,
    rate_source="our choice, not published: MeZO's",
    paper="arXiv:2305.17333",
)
ENTRIES = (CMA, FIREWORKS, MEZO, MEZO_ADAM)
