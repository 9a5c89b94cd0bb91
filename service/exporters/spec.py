"""What an entry of the table of exporters says."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from metadata.optimizers import OPTIMIZERS
from service.exporters.source import Source

Keys = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """One format.

    Attributes:
        title: The tool that reads it.
        file_name: What the tool, or its users, call the file.
        media_type: Of the file.
        lacks: What the tool has no way to do as the configuration says it; empty where all is
            carried.
        notes: What does not change what is learnt and has no key, or is done a little otherwise.
        write: (source, the lines that say where it comes from) -> the text of the file.
    """

    name: str
    title: str
    file_name: str
    media_type: str
    lacks: Callable[[Source], list[str]]
    notes: Callable[[Source], list[str]]
    write: Callable[[Source, list[str]], str]


@dataclass(frozen=True, kw_only=True)
class Carries:
    """What a tool has keys for, by the names of the tables: its keys, or the names alone."""

    methods: Collection[str]
    optimizers: Collection[str]
    schedules: Collection[str]
    quantizations: Collection[str] = ("none", "int8", "nf4")
    clippings: Collection[str] = ("global", "none")
    records: Collection[str] = ("messages", "prompt_completion", "text")
    by_method: Mapping[str, str] = field(default_factory=dict)  # why one is not carried


def lacks_of(source: Source, carries: Carries) -> list[str]:
    """Return what of a configuration a tool does not carry, each in a few words."""
    one, method = source.configuration, source.method.name
    reason = carries.by_method.get(method)
    asked = {
        f"the method {method}" + (f" ({reason})" if reason else ""): method in carries.methods,
        f"the optimizer {one.optimizer.name}": one.optimizer.name in carries.optimizers,
        f"the schedule {one.schedule.name}": one.schedule.name in carries.schedules,
        f"quantization {one.quantization}": one.quantization in carries.quantizations,
        f"gradient_clipping {one.gradient_clipping}": one.gradient_clipping in carries.clippings,
        f"data of {source.data.records} records": source.data.records in carries.records,
        f"the training objective {source.objective}": source.objective == "supervised",
        _spared(source): not _spared(source),
        _no_targets(source): source.has_targets or not source.method.uses_target_modules,
    }
    return [words for words, is_carried in asked.items() if not is_carried]


def optimizer_class(name: str) -> str | None:
    """Return the dotted name of an optimizer's class in a public library, None without one."""
    if name == "adamw":
        return "torch.optim.AdamW"
    target = OPTIMIZERS[name].target
    return target if target.startswith(("torch.", "pytorch_optimizer.", "bitsandbytes.")) else None


def optimizer_values(source: Source) -> Keys:
    """Return the arguments of an optimizer's class beside the rate and the weight decay."""
    choice = source.configuration.optimizer
    return choice.values | dict(OPTIMIZERS[choice.name].fixed)


def _spared(source: Source) -> str:
    """Say which weights weight decay must leave out, where there is any."""
    if not source.configuration.optimizer.weight_decay or not source.method.undecayed:
        return ""
    return f"weight decay that leaves out {' and '.join(source.method.undecayed)}"


def _no_targets(source: Source) -> str:
    target, family = source.configuration.target_modules, source.model.family
    return f"target_modules {target} of the family {family}, whose names are not known here"
