"""The arguments of PEFT's config classes, as far as they follow from sizes and choices alone."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from math import gcd

from metadata.architectures import family_of, linears, targeted
from metadata.methods import METHODS
from metadata.methods.scaling import FEEDFORWARD
from metadata.methods.variants import ROW_SHARDED
from service.exporters.source import Source
from service.exporters.spec import Keys

FROM_DATA = "it starts from examples of the data"
OWN_CODE = "PEFT does not have it"
# Starts that look at examples, which no file of settings can do.
_DATA_STARTS = frozenset(
    {
        "training_worker.starts.from_covariances",
        "training_worker.starts.from_gradients",
        "training_worker.starts.from_inputs",
        "training_worker.context_prompt.add_cartridge",
    }
)


def _blocks(source: Source) -> Keys:
    targets = targeted(source.model, source.configuration.target_modules)
    kinds: tuple[list[str], list[str]] = ([], [])
    for linear in targets:
        kinds[linear.role not in ROW_SHARDED].append(linear.name.rpartition(".")[2])
    nblocks = source.configuration.method.values["nblocks"]
    return {
        "target_modules_bd_a": kinds[0],
        "target_modules_bd_b": kinds[1],
        "nblocks": nblocks,
    }


def _group_size(source: Source) -> int:
    targets = targeted(source.model, source.configuration.target_modules)
    return gcd(64, *(linear.d_out for linear in targets))


def _values(*names: str, **fixed: object) -> Callable[[Source], Keys]:
    def take(source: Source) -> Keys:
        values = source.configuration.method.values
        return {**{name: values[name] for name in names}, **fixed}

    return take


def _feedforward(source: Source) -> list[str]:
    return [linear.name for linear in linears(source.model) if linear.role in FEEDFORWARD]


def _last_steps(source: Source) -> int:
    return max(0, min(3 * source.steps // 10, source.steps - 2))


# What the worker takes from the model (`training_worker.givens`), where its sizes say it too.
GIVENS: Mapping[str, Callable[[Source], object]] = {
    "bdlora": _blocks,
    "attention": lambda source: linears(source.model)[0].name.partition(".")[0],
    "endings": lambda source: source.endings,
    "feedforward": _feedforward,
    "first_steps": lambda source: source.steps // 10,
    "group_size": _group_size,
    "is_transposed": lambda source: family_of(source.model).transposed,
    "kasa": _values("beta", "gamma"),
    "last_steps": _last_steps,
    "layers": lambda source: source.model.layers,
    "velora": _values("num_groups", "scale", init_type="batch_average"),
    "steps": lambda source: max(2, source.steps),
}
_USUAL = {
    "target_modules": "endings",
    "feedforward_modules": "feedforward",
    "fan_in_fan_out": "is_transposed",
}


@cache
def _classes() -> Mapping[str, Keys]:
    text = (files("service.exporters") / "data" / "peft.json").read_text(encoding="utf-8")
    classes: Mapping[str, Keys] = json.loads(text)["classes"]
    return classes


def reason_against(method: str) -> str:
    """Say why no PEFT config holds a method as the worker trains it; empty where one does."""
    spec = METHODS[method]
    if not spec.target.startswith("peft."):
        return OWN_CODE
    if spec.injector in _DATA_STARTS:
        return FROM_DATA
    missing = [source for source in spec.given.values() if source not in GIVENS]
    return f"it takes {' and '.join(missing)} from the model or the data" if missing else ""


def config_class(source: Source) -> str:
    """Return the name of the method's config class."""
    return source.method.target.removeprefix("peft.")


def config_type(source: Source) -> str:
    """Return PEFT's own name of the method."""
    return str(_classes()[config_class(source)]["peft_type"])


def config_arguments(source: Source) -> Keys:
    """Return the arguments of the method's config class, for a method with no reason against it."""
    known, spec = set(_classes()[config_class(source)]["fields"]), source.method
    usual = {name: given for name, given in _USUAL.items() if name in known}
    given = {name: GIVENS[one](source) for name, one in (usual | dict(spec.given)).items()}
    values = {n: v for n, v in source.configuration.method.values.items() if n in known}
    return {"task_type": "CAUSAL_LM"} | given | values | dict(spec.fixed)
