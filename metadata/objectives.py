"""What goes with an objective: which configurations it trains, and on data of which form."""

from metadata.errors import InvalidConfiguration, InvalidRequest
from metadata.optimizers import OPTIMIZERS
from metadata.records import Configuration, DatasetKind, Objective, TrainingObjective


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
