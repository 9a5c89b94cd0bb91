"""What an entry of the method table says."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from metadata.architectures import Linear
from metadata.parameters import Parameter, Values
from metadata.records import ModelProfile, Scalar


def share_nothing(values: Values, linear: Linear) -> float:
    """Keep no input that another linear could share."""
    del values, linear
    return 0.0


@dataclass(frozen=True, kw_only=True)
class MethodSpec:
    """One PEFT method as data and pure arithmetic.

    The same entry feeds the search space, the footprint, the catalogue and the worker.

    Attributes:
        target: Dotted name of a PEFT config class, or of a function of our own
            `(model, configuration, module_names) -> model`. Only the worker resolves it.
        fixed: Arguments of `target` that are not searched.
        trainable: (values, targeted linears of one decoder layer, model) -> trained weights.
        activation_floats: (values, linear) -> floats kept for the backward pass per token, beyond
            those of the frozen model.
        shared_floats: (values, linear) -> those of them that are the linear's input as it is;
            linears of one input share it where the adapter computes in the model's precision.
        operations: Operations a step adds per targeted linear, forward and backward, views too.
        weight_passes: Times a pass reads or writes all targeted weights in fp32 to rebuild them.
        trains_base: Whether weights of the model itself are trained, in the model's precision.
        rate_factor: Multiple of the width rule's LoRA rate at which the method usually works.
        rate_source: Where that multiple comes from.
    """

    name: str
    title: str
    target: str
    parameters: tuple[Parameter, ...] = ()
    fixed: Mapping[str, Scalar] = field(default_factory=dict)
    trainable: Callable[[Values, tuple[Linear, ...], ModelProfile], int]
    activation_floats: Callable[[Values, Linear], float]
    shared_floats: Callable[[Values, Linear], float] = share_nothing
    operations: int = 0
    weight_passes: float = 0.0
    trains_base: bool = False
    rate_factor: float
    rate_source: str
    uses_target_modules: bool = True
    merges: bool = True
    paper: str
