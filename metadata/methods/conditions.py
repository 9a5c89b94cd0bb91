"""What must hold of a method's values on a model, for entries to choose from."""

from typing import Literal

from metadata.architectures import Linear, family_of
from metadata.methods.spec import Condition, Fault
from metadata.parameters import Values, number
from metadata.records import ModelProfile


def at_most_the_width(name: str, *, times: int = 1) -> Condition:
    """Return the condition that a rank, some times, is at most the smallest width it is used on."""
    what = "a rank" if times == 1 else f"{times} times {name}"

    def condition(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> Fault | None:
        smallest = min(targets, key=_width, default=None)
        if smallest is None or times * number(values, name) <= _width(smallest):
            return None
        return Fault(
            parameter=name,
            rule=f"{what} is at most the smallest width it is used on, {_width(smallest)} "
            f"({smallest.name} of {model.id})",
            next_step=f"Lower {name} or target other modules.",
        )

    bound = name if times == 1 else what
    condition.__doc__ = f"{bound} is at most the smallest width it is used on."
    return condition


def below(name: str, other: str) -> Condition:
    """Return the condition that one value is below another."""

    def condition(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> Fault | None:
        del targets, model
        if number(values, name) < number(values, other):
            return None
        return Fault(
            parameter=name,
            rule=f"{name} must be below {other}, {values[other]}",
            next_step=f"Lower {name} or raise {other}.",
        )

    condition.__doc__ = f"{name} is below {other}."
    return condition


def divides(name: str, other: str) -> Condition:
    """Return the condition that one value divides another."""

    def condition(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> Fault | None:
        del targets, model
        if number(values, other) % number(values, name) == 0:
            return None
        return Fault(
            parameter=name,
            rule=f"{name} must divide {other}, {values[other]}",
            next_step=f"Choose a divisor of {other}.",
        )

    condition.__doc__ = f"{name} divides {other}."
    return condition


def divides_widths(name: str, which: Literal["widths", "outputs"] = "widths") -> Condition:
    """Return the condition that a value divides the widths, or outputs, of what it is used on."""

    def condition(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> Fault | None:
        size = number(values, name)
        for linear in targets:
            widths = (linear.d_out,) if which == "outputs" else (linear.d_in, linear.d_out)
            for width in widths:
                if width % size:
                    return Fault(
                        parameter=name,
                        rule=f"{name} must divide the {which} it is used on, as {width} of "
                        f"{linear.name} of {model.id}",
                        next_step=f"Choose a divisor as {name}, or target other modules.",
                    )
        return None

    condition.__doc__ = f"{name} divides the {which} it is used on."
    return condition


def is_even(name: str) -> Condition:
    """Return the condition that a value is even."""

    def condition(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> Fault | None:
        del targets, model
        if number(values, name) % 2 == 0:
            return None
        return Fault(
            parameter=name, rule="the value must be even", next_step=f"Choose an even {name}."
        )

    condition.__doc__ = f"{name} is even."
    return condition


def plain_linears(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> Fault | None:
    """The maps are torch's Linear, not GPT-2's transposed Conv1D."""
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
