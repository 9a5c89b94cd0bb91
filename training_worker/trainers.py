"""The table of trainers, by the kind of the optimizer."""

from collections.abc import Mapping

from metadata.optimizers.spec import Kind
from training_worker.derivative_free.mezo import ZerothOrderSteps
from training_worker.derivative_free.population import PopulationSteps, plan_calls
from training_worker.steps import GRADIENT, Trainer, plan_steps

TRAINERS: Mapping[Kind, Trainer] = {
    "gradient": GRADIENT,
    "zeroth_order": Trainer(plan=plan_steps, begin=ZerothOrderSteps),
    "population": Trainer(plan=plan_calls, begin=PopulationSteps),
}
