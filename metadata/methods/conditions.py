"""What must hold of a method's values on a model, for entries to choose from."""

from metadata.architectures import Linear, family_of
from metadata.methods.spec import Condition, Fault
from metadata.parameters import Values, number
from metadata.records import ModelProfile


def at_most_the_width(name: str) -> Condition:
    """Return the condition that a rank is at most the smallest width it is used on."""

    def condition(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> Fault | None:
        smallest = min(targets, key=_width, default=None)
        if smallest is None or number(values, name) <= _width(smallest):
            return None
        return Fault(
            parameter=name,
            rule=f"a rank is at most the smallest width it is used on, {_width(smallest)} "
            f"({smallest.name} of {model.id})",
            next_step=f"Lower {name} or target other modules.",
        )

    return condition


def plain_linears(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> Fault | None:
    """Hold where the maps are torch's Linear, not GPT-2's transposed Conv1D."""
    del values, targets
    if not family_of(model).transposed:
        return None
    return Fault(
        parameter="name",
        rule=f"the method works on plain linear maps, and those of {model.id} "
        f"({model.family}) are transposed",
        next_step="Choose another method, such as lora.",
    )


def _width(linear: Linear) -> int:
    return min(linear.d_in, linear.d_out)
