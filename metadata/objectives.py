"""What goes with an objective: which configurations it trains, and on data of which form."""

from collections.abc import Mapping
from dataclasses import replace

from metadata.errors import InvalidConfiguration, InvalidRequest
from metadata.footprint import Plan, plan
from metadata.optimizers import OPTIMIZERS
from metadata.records import Configuration, DatasetKind, Objective, Task, TrainingObjective

ROWS: Mapping[TrainingObjective, int] = {"supervised": 1, "dpo": 2}  # of the model, an example


def check_objective(configuration: Configuration, objective: Objective) -> None:
    """Let a known configuration pass if an objective can be trained with it.

    Raises:
        InvalidConfiguration: It cannot; `param` names the field.
    """
    if objective.name != "dpo":
        return
    optimizer = OPTIMIZERS[configuration.optimizer.name]
    if optimizer.kind != "gradient":
        raise InvalidConfiguration(
            f"DPO follows gradients, and {optimizer.name} has none. Choose another optimizer, such "
            "as adamw.",
            param="optimizer.name",
        )
    if configuration.packing:
        raise InvalidConfiguration(
            "DPO compares the two completions of a pair row by row, so packing must be false, got "
            "true. Set it to false.",
            param="packing",
        )
    if configuration.loss_on != "completion":
        raise InvalidConfiguration(
            f"DPO compares completions, so loss_on must be completion, got {configuration.loss_on}"
            ". Set it to completion.",
            param="loss_on",
        )


def trains(configuration: Configuration, objective: Objective) -> bool:
    """Say whether an objective can be trained with a known configuration."""
    try:
        check_objective(configuration, objective)
    except InvalidConfiguration:
        return False
    return True


def check_form(kind: DatasetKind, objective: TrainingObjective, *, param: str) -> None:
    """Let data pass if it has the form that an objective learns from.

    Raises:
        InvalidRequest: It is of preferences where there should be none, or the other way round.
    """
    if (kind == "preference") == (objective == "dpo"):
        return
    rule = "DPO learns from preferences, and supervised training from examples without"
    given = "preferences" if kind == "preference" else "examples without preferences"
    step = "Train them with dpo" if kind == "preference" else "Give both chosen and rejected"
    raise InvalidRequest(
        f"{rule}; got {given} for {objective}. {step}, or take another file.", param=param
    )


def objective_of(kind: DatasetKind) -> TrainingObjective:
    """Return the objective that learns from data of a form."""
    return "dpo" if kind == "preference" else "supervised"


def plan_for(configuration: Configuration, task: Task, objective: Objective) -> Plan:
    """Return how a configuration would run on a task for an objective."""
    name = objective.name
    return of_examples(plan(in_rows(configuration, name), task_in_rows(task, name)), name)


def in_rows(configuration: Configuration, objective: TrainingObjective) -> Configuration:
    """Return the supervised configuration that costs as much: its batch counts rows."""
    if ROWS[objective] == 1:
        return configuration
    return configuration.model_copy(
        update={"batch_size": ROWS[objective] * configuration.batch_size}
    )


def task_in_rows(task: Task, objective: TrainingObjective) -> Task:
    """Return the supervised task that costs as much: its examples count rows."""
    if ROWS[objective] == 1:
        return task
    examples = ROWS[objective] * task.dataset.examples
    return task.model_copy(
        update={"dataset": task.dataset.model_copy(update={"examples": examples})}
    )


def of_examples(planned: Plan, objective: TrainingObjective) -> Plan:
    """Return a plan in rows as one whose micro-batch counts examples."""
    if ROWS[objective] == 1:
        return planned
    return replace(planned, micro_batch_size=max(1, planned.micro_batch_size // ROWS[objective]))
