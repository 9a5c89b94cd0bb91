"""Which configurations can exist: known entries, all values given, each within its range."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from math import isfinite
from typing import Any

from metadata.architectures import packs, targeted
from metadata.errors import InvalidConfiguration
from metadata.methods import METHODS
from metadata.methods.spec import Fault, MethodSpec, Serving
from metadata.optimizers import OPTIMIZERS, SCHEDULES
from metadata.optimizers.spec import OptimizerSpec
from metadata.parameters import Categorical, Integer, Parameter
from metadata.priors import usual_rate
from metadata.records import Configuration, ModelProfile, Quantization

SHOWN_CHARACTERS = 60
SHOWN_NAMES = 8


def check(configuration: Configuration, model: ModelProfile | None = None) -> None:
    """Let a configuration pass if it can exist, on a model if one is given.

    Raises:
        InvalidConfiguration: An entry is unknown; a value is missing, unknown or out of range; two
            choices do not go together; the method has no such values on this model, as a rank
            above the smallest width. `param` names the field.
    """
    method, optimizer = configuration.method, configuration.optimizer
    schedule = configuration.schedule
    method_spec = _entry("method", METHODS, method.name)
    optimizer_spec = _entry("optimizer", OPTIMIZERS, optimizer.name)
    schedule_spec = _entry("schedule", SCHEDULES, schedule.name)
    _check_values("method", method.name, method_spec.parameters, method.values)
    decay = {"weight_decay": optimizer.weight_decay}
    known = {p.name for p in optimizer_spec.parameters}
    taken = {name: value for name, value in decay.items() if name in known}
    _check_values(
        "optimizer", optimizer.name, optimizer_spec.parameters, {**taken, **optimizer.values}
    )
    _check_values("schedule", schedule.name, schedule_spec.parameters, schedule.values)
    _check_rate(optimizer_spec, configuration, model)
    if optimizer.weight_decay and "weight_decay" not in known:
        rule = f"{_title(optimizer_spec)} has no weight decay"
        raise _invalid("optimizer.weight_decay", rule, optimizer.weight_decay, "Set it to 0.")
    _check_quantization(method_spec, configuration.quantization)
    _check_match(optimizer_spec, configuration)
    _check_packing(method_spec, configuration, model)
    _check_checkpointing(method_spec, configuration)
    if model is not None:
        _check_conditions(configuration, model)


def check_serving(configuration: Configuration, serve_with: Serving | None) -> None:
    """Let a configuration pass if its result can be loaded by what is to serve it.

    Raises:
        InvalidConfiguration: It cannot; the message has the method's reason. `param` is
            `serve_with`.
    """
    spec = METHODS[configuration.method.name]
    if serve_with is None or serve_with in spec.served_by:
        return
    reasons: Mapping[Serving, str] = {
        "peft": "all weights are trained, and there is no adapter",
        "merged": spec.no_merge,
        "vllm": spec.no_lora,
    }
    raise InvalidConfiguration(
        f"serve_with: what {_title(spec)} leaves cannot be served with {serve_with}, since "
        f"{reasons[serve_with]}; it can with {' or '.join(spec.served_by)}. Choose that, or "
        "another method.",
        param="serve_with",
    )


def fault_of(configuration: Configuration, model: ModelProfile) -> Fault | None:
    """Return the first rule of its method that a configuration breaks on a model."""
    spec, values = METHODS[configuration.method.name], configuration.method.values
    targets = targeted(model, configuration.target_modules) if spec.uses_target_modules else ()
    faults = (condition(values, targets, model) for condition in spec.conditions)
    return next((fault for fault in faults if fault is not None), None)


def _entry(kind: str, table: Mapping[str, Any], name: str) -> Any:
    if name in table:
        return table[name]
    near = get_close_matches(name, table, n=1)
    hint = f'Did you mean "{near[0]}"? ' if near else ""
    raise _invalid(
        f"{kind}.name",
        f"the {kind} must be one of {_listed(table)}",
        name,
        f"{hint}Choose one of them.",
    )


def _listed(table: Mapping[str, Any]) -> str:
    names, more = list(table)[:SHOWN_NAMES], len(table) - SHOWN_NAMES
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")


def _check_values(
    kind: str, entry: str, parameters: Sequence[Parameter], values: Mapping[str, Any]
) -> None:
    for parameter in parameters:
        param = f"{kind}.{parameter.name}"
        if parameter.name not in values:
            raise InvalidConfiguration(
                f"{param}: {entry} needs a value for {parameter.name}, got none. "
                f"Its default is {parameter.default!r}.",
                param=param,
            )
        _check_value(param, parameter, values[parameter.name])
    known = [parameter.name for parameter in parameters]
    for name, value in values.items():
        if name not in known:
            rule = f"{entry} has no value of this name; it has {', '.join(known) or 'none'}"
            raise _invalid(f"{kind}.{_shown(name)}", rule, value, "Remove it.")


def _check_value(param: str, parameter: Parameter, value: object) -> None:
    advice = f"Its default is {parameter.default!r}."
    if isinstance(parameter, Categorical):
        if not any(value == c and type(value) is type(c) for c in parameter.choices):
            choices = ", ".join(repr(choice) for choice in parameter.choices)
            raise _invalid(param, f"the value must be one of {choices}", value, advice)
        return
    kind = "a whole number" if isinstance(parameter, Integer) else "a number"
    rule = f"the value must be {kind} from {parameter.lower} to {parameter.upper}"
    wanted = int if isinstance(parameter, Integer) else (int, float)
    is_number = isinstance(value, wanted) and not isinstance(value, bool)
    if not is_number or not parameter.lower <= value <= parameter.upper:  # type: ignore[operator]
        raise _invalid(param, rule, value, advice)


def _check_rate(
    spec: OptimizerSpec, configuration: Configuration, model: ModelProfile | None
) -> None:
    rate = configuration.optimizer.learning_rate
    if not spec.has_learning_rate:
        if rate is not None:
            rule = f"{_title(spec)} finds its own learning rate"
            raise _invalid("optimizer.learning_rate", rule, rate, "Leave it out.")
        return
    if rate is not None and isfinite(rate) and rate > 0:
        return
    usual = (
        f" {usual_rate(configuration.method.name, configuration.optimizer.name, model):.2g}"
        if model is not None
        else " 2e-4 for LoRA with adamw"
    )
    raise _invalid(
        "optimizer.learning_rate",
        f"{configuration.optimizer.name} needs a learning rate above 0",
        rate,
        f"A usual one is{usual}.",
    )


def _check_quantization(spec: MethodSpec, quantization: Quantization) -> None:
    if quantization == "none" or quantization in spec.quantizations:
        return
    can = " or ".join(f'"{one}"' for one in ("none", *spec.quantizations))
    why = " trains the weights themselves, which quantised ones do not allow, and"
    reason = why if spec.trains_base else ""
    raise _invalid(
        "quantization",
        f"{_title(spec)}{reason} goes with {can}",
        quantization,
        'Set quantization to "none" or choose lora.',
    )


def _check_match(spec: OptimizerSpec, configuration: Configuration) -> None:
    """Refuse an optimizer with a method or with target modules that it is not made for."""
    method, target = configuration.method.name, configuration.target_modules
    schedule = configuration.schedule.name
    if METHODS[method].needs_gradients and spec.kind != "gradient":
        rule = f"{METHODS[method].title} acts on gradients, which {_title(spec)} has none of"
        raise _invalid("method.name", rule, method, "Choose another of them.")
    if spec.methods and method not in spec.methods:
        rule = f"{_title(spec)} goes with {', '.join(spec.methods)}"
        raise _invalid("method.name", rule, method, "Choose one of them, or another optimizer.")
    if spec.target_modules and target not in spec.target_modules:
        rule = f"{_title(spec)} goes with target_modules {', '.join(spec.target_modules)}"
        raise _invalid("target_modules", rule, target, "Choose that, or another optimizer.")
    if spec.schedules and schedule not in spec.schedules:
        rule = f"{_title(spec)} goes with the schedule {', '.join(spec.schedules)}"
        raise _invalid("schedule.name", rule, schedule, "Choose that, or another optimizer.")


def _check_packing(
    spec: MethodSpec, configuration: Configuration, model: ModelProfile | None
) -> None:
    """Refuse to pack where texts in one row would see each other, or get no start of their own."""
    rule = ""
    if not spec.packs:
        rule = f"{_title(spec)} puts tokens before each text, so that each needs a row of its own"
    elif configuration.attention == "flash_attention_2":
        rule = "packed texts are kept apart by sdpa and eager attention, not flash_attention_2"
    elif model is not None and not packs(model.family):
        rule = f"packed texts are not known to be kept apart in models of the family {model.family}"
    if configuration.packing and rule:
        raise _invalid("packing", rule, configuration.packing, "Set packing to false.")


def _check_checkpointing(spec: MethodSpec, configuration: Configuration) -> None:
    if configuration.gradient_checkpointing and not spec.checkpoints:
        rule = f"{spec.title} hands each layer a cache, which a second pass would not find"
        raise _invalid("gradient_checkpointing", rule, True, "Set gradient_checkpointing to false.")


def _check_conditions(configuration: Configuration, model: ModelProfile) -> None:
    fault, method = fault_of(configuration, model), configuration.method
    if fault is not None:
        seen = method.values.get(fault.parameter, method.name)
        raise _invalid(f"method.{fault.parameter}", fault.rule, seen, fault.next_step)


def _title(spec: MethodSpec | OptimizerSpec) -> str:
    """Return a title without what explains it after a comma."""
    return spec.title.partition(",")[0]


def _invalid(param: str, rule: str, seen: object, next_step: str) -> InvalidConfiguration:
    return InvalidConfiguration(f"{param}: {rule}; got {_shown(seen)}. {next_step}", param=param)


def _shown(value: object) -> str:
    try:
        text = value if isinstance(value, str) else repr(value)
    except ValueError:  # an integer of more digits than Python prints
        return "a number of thousands of digits"
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."
