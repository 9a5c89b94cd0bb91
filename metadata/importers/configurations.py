"""The configuration of an imported run: choices in our words, and a gap where there is none."""

from collections.abc import Mapping
from typing import Any, get_args

from metadata.checks import check
from metadata.errors import InvalidConfiguration
from metadata.importers.adapters import method_named, method_of, target_of
from metadata.importers.facts import Facts
from metadata.importers.tasks import MODEL, UNKNOWN
from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS, SCHEDULES
from metadata.records import (
    Choice,
    Configuration,
    DatasetProfile,
    ModelProfile,
    OptimizerChoice,
    Precision,
    Quantization,
    ScheduleChoice,
    TargetModules,
)

METHOD, TARGET = "configuration.method", "configuration.target_modules"
OPTIMIZER, SCHEDULE = "configuration.optimizer", "configuration.schedule"
BATCH, EPOCHS, PRECISION = (
    "configuration.batch_size",
    "configuration.epochs",
    "configuration.precision",
)
LENGTH = "configuration.max_length_tokens"
_OPTIMIZERS: Mapping[str, str] = {  # as transformers and torch call them
    "adamw_torch": "adamw", "adamw_torch_fused": "adamw", "adamw_hf": "adamw", "adam": "adamw",
    "adamw_apex_fused": "adamw", "paged_adamw_32bit": "adamw", "paged_adamw": "adamw",
    "adamw_bnb_8bit": "adamw_8bit", "paged_adamw_8bit": "adamw_8bit",
    "lion_32bit": "lion", "paged_lion_32bit": "lion",
}  # fmt: skip
_SCHEDULES: Mapping[str, str] = {"constant_with_warmup": "constant", "warmup_stable_decay": UNKNOWN}
_PRECISIONS: Mapping[str, Precision] = {
    "bfloat16": "bf16", "bf16": "bf16", "torch.bfloat16": "bf16",
    "float32": "fp32", "fp32": "fp32", "torch.float32": "fp32", "no": "fp32",
}  # fmt: skip


def configuration_of(
    facts: Facts,
    adapter: Mapping[str, Any] | None,
    model: ModelProfile,
    dataset: DatasetProfile,
) -> Configuration:
    """Return the configuration of a run; gaps and notes are added to the facts."""
    quantization = _quantization(facts, model)
    batch_size = _batch_size(facts)
    length = facts.whole("max_length_tokens", 8, 1_048_576)
    if length is None:
        facts.open(LENGTH, "the longest text is not told: 512 tokens stand for it")
    method = _method(facts, adapter)
    chosen = Configuration(
        method=method,
        target_modules=_target(facts, adapter, method.name),
        optimizer=_optimizer(facts),
        schedule=_schedule(facts),
        batch_size=batch_size,
        epochs=_epochs(facts, batch_size, dataset),
        max_length_tokens=length or 512,
        precision=_precision(facts),
        quantization=quantization,
        gradient_checkpointing=facts.flag("gradient_checkpointing") or False,
        packing=facts.flag("packing") or False,
        keep="last",
        seed=facts.whole("seed", 0, 2**31 - 1) or 0,
    )
    _check(chosen, None if MODEL in facts.gaps else model, facts)
    return chosen


def _check(chosen: Configuration, model: ModelProfile | None, facts: Facts) -> None:
    """Tell what our tables do not take as a gap: they would not know what to learn from it."""
    try:
        check(chosen, model)
    except InvalidConfiguration as error:
        part = (error.param or "method").partition(".")[0]
        gap = f"configuration.{part}"
        if gap not in facts.gaps:
            facts.open(gap, f"our tables do not take it as it was run: {str(error)[:160]}")


def _method(facts: Facts, adapter: Mapping[str, Any] | None) -> Choice:
    if adapter is not None:
        method, why = method_of(adapter)
        if why is not None:
            facts.open(METHOD, why)
        return method
    named, rank = facts.text("method"), facts.whole("rank", 1, 10**6)
    if named is None and rank is not None:
        facts.open(METHOD, "a rank without the name of a method is taken for LoRA's")
        named = "lora"
    if named is None:
        facts.open(METHOD, "how the model was adapted is not told")
        return Choice(name=UNKNOWN)
    known = method_named(named)
    if known is None:
        facts.open(METHOD, f"our tables have no method {named[:60]}")
        return Choice(name=named, **({} if rank is None else {"r": rank}))
    return _with_values(known, facts, rank)


def _with_values(name: str, facts: Facts, rank: int | None) -> Choice:
    told = {
        "r": rank,
        "lora_alpha": facts.whole("alpha", 1, 10**6),
        "lora_dropout": facts.number("lora_dropout", 0, 1),
    }
    parameters = {p.name: p.default for p in METHODS[name].parameters}
    values = {p: told[p] for p in parameters if told.get(p) is not None}
    missing = [p for p in parameters if p not in values]
    if missing:
        shown = ", ".join(missing)
        facts.open(METHOD, f"values of {name} that are not told are the defaults: {shown}")
    return Choice(name=name, **{**parameters, **values})


def _target(facts: Facts, adapter: Mapping[str, Any] | None, method: str) -> TargetModules:
    named = facts.text("target_modules")
    if named in get_args(TargetModules):
        return named  # type: ignore[return-value]  # one of the literals
    modules = named if adapter is None else adapter.get("target_modules")
    found = target_of(modules)
    if found is not None:
        return found
    if method in METHODS and not METHODS[method].uses_target_modules:
        return "all-linear"
    facts.open(TARGET, "which linear maps were adapted is not told, or no set that we name")
    return "all-linear"


def _optimizer(facts: Facts) -> OptimizerChoice:
    named, rate = facts.text("optimizer"), facts.number("learning_rate", 0, 100)
    name = _OPTIMIZERS.get((named or "adamw").lower(), (named or "adamw").lower())
    if named is None:
        facts.open(OPTIMIZER, "the optimizer is not told: AdamW stands for it")
    elif name not in OPTIMIZERS:
        facts.open(OPTIMIZER, f"our tables have no optimizer {named[:60]}")
    if not rate:
        facts.open(OPTIMIZER, "the learning rate is not told, or none of ours")
    return OptimizerChoice(
        name=name,
        learning_rate=rate or None,
        weight_decay=facts.number("weight_decay", 0, 1) or 0.0,
    )


def _schedule(facts: Facts) -> ScheduleChoice:
    named = facts.text("schedule")
    name = _SCHEDULES.get((named or "linear").lower(), (named or "linear").lower())
    if named is None:
        facts.open(SCHEDULE, "the schedule is not told: a linear one stands for it")
    elif name not in SCHEDULES:
        facts.open(SCHEDULE, f"our tables have no schedule {named[:60]}")
    return ScheduleChoice(name=name[:200], warmup_fraction=_warmup(facts))


def _warmup(facts: Facts) -> float:
    fraction = facts.number("warmup_fraction", 0, 0.999)
    if fraction:
        return fraction
    warm, steps = facts.number("warmup_steps", 0, 1e15), facts.number("steps", 1, 1e15)
    return min(0.999, warm / steps) if warm and steps else 0.0


def _batch_size(facts: Facts) -> int:
    """Return examples a step: as told, or those of a device times steps and devices."""
    whole = facts.whole("batch_size", 1, 65_536)
    if whole is not None:
        return whole
    micro = facts.whole("micro_batch_size", 1, 65_536)
    if micro is None:
        facts.open(BATCH, "the batch size is not told: 1 stands for it")
        return 1
    accumulation = facts.whole("accumulation_steps", 1, 65_536)
    devices = facts.whole("device_count", 1, 1024)
    if devices is None:
        facts.open(BATCH, "the batch size is that of one device: how many there were is not told")
    return min(65_536, micro * (accumulation or 1) * (devices or 1))


def _epochs(facts: Facts, batch_size: int, dataset: DatasetProfile) -> float:
    epochs = facts.number("epochs", 1e-9, 10_000)
    if epochs is not None:
        return epochs
    steps = facts.number("steps", 1, 1e15)
    if steps is not None and facts.whole("examples", 1, 10**15) is not None:
        return min(10_000.0, steps * batch_size / dataset.examples)
    facts.open(EPOCHS, "how often the data were seen is not told: once stands for it")
    return 1.0


def _precision(facts: Facts) -> Precision:
    named = facts.text("precision")
    if named is not None and named.lower() in _PRECISIONS:
        return _PRECISIONS[named.lower()]
    if facts.flag("bf16"):
        return "bf16"
    if facts.flag("fp16") or named is not None:
        facts.open(PRECISION, "it ran in a precision that we have none of: fp32 stands for it")
    elif facts.flag("bf16") is None:
        facts.open(PRECISION, "the precision is not told: fp32 stands for it")
    return "fp32"


def _quantization(facts: Facts, model: ModelProfile) -> Quantization:
    named = (facts.text("quantization") or "").lower()
    if named in get_args(Quantization):
        return named  # type: ignore[return-value]  # one of the literals
    is_qlora = (facts.text("method") or "").lower() == "qlora"
    return "nf4" if is_qlora or "bnb-4bit" in model.id.lower() else "none"
