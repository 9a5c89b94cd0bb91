"""What a method adds to a model: weights, and what a pass keeps of them.

Annotations name the number of one configuration; of many there are columns
(`metadata.elementwise`).
"""

from dataclasses import dataclass

from metadata.architectures import Linear, linears, targeted, weights_of
from metadata.layers import layer_of
from metadata.methods import METHODS
from metadata.methods.spec import Count, MethodSpec
from metadata.optimizers import OPTIMIZERS
from metadata.parameters import Values
from metadata.records import Configuration, ModelProfile, TargetModules

SHARES_INPUT = frozenset({"k", "v", "o"})  # k and v read q's input; attention keeps o's anyway


@dataclass(frozen=True, kw_only=True)
class Group:
    """Configurations of one method on the same modules, which the same functions count."""

    spec: MethodSpec
    target_modules: TargetModules
    count: Count  # what the optimizer trains of the method's weights
    values: Values


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What a method adds to a model. Activations are of one layer and token."""

    targets: int = 0
    target_weights: int = 0
    of_method: int = 0
    trainable: int = 0
    frozen: int = 0
    step_floats: int = 0
    step_indices: int = 0
    moment_floats: int = 0
    step_flops: int = 0
    activation_floats: float = 0.0
    shared_floats: float = 0.0
    model_floats: float = 0.0


def group_of(configuration: Configuration, values: Values | None = None) -> Group:
    """Return the group of a configuration, by itself where no columns of values are given."""
    method, optimizer = configuration.method, OPTIMIZERS[configuration.optimizer.name]
    spec = METHODS[method.name]
    return Group(
        spec=spec,
        target_modules=configuration.target_modules,
        count=optimizer.trainable or spec.trainable,
        values=method.values if values is None else values,
    )


def counts_of(group: Group, model: ModelProfile) -> Counts:
    """Return what the method of a group adds to a model."""
    spec, values = group.spec, group.values
    targets = targeted(model, group.target_modules) if spec.uses_target_modules else ()
    of_method = spec.trainable(values, targets, model)
    is_whole = group.count is spec.trainable
    watched = targets if spec.uses_target_modules else linears(model)
    return Counts(
        targets=len(targets),
        target_weights=weights_of(targets, model),
        of_method=of_method,
        trainable=of_method if is_whole else group.count(values, targets, model),
        frozen=spec.frozen_numbers(values, targets, model),
        step_floats=spec.step_floats(values, targets, model),
        step_indices=spec.step_indices(values, targets, model),
        moment_floats=spec.moment_floats(values, targets, model),
        step_flops=spec.step_flops(values, targets, model),
        activation_floats=sum(spec.activation_floats(values, one) for one in watched),
        model_floats=sum(spec.model_floats(values, one) for one in watched),
        shared_floats=sum(spec.shared_floats(values, one) for one in _sharing(watched, model)),
    )


def _sharing(targets: tuple[Linear, ...], model: ModelProfile) -> tuple[Linear, ...]:
    """Return the linears whose input is kept already, by another one or by the frozen layer."""
    shares = set(SHARES_INPUT)
    if any(t.role == "gate" for t in targets):
        shares.add("up")
    if layer_of(model).keeps_activation:
        shares.add("down")
    return tuple(one for one in targets if one.role in shares)
