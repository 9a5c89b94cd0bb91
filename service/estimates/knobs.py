"""Which choice would free how much: the footprint, asked again with that choice changed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from metadata.checks import check
from metadata.errors import InvalidConfiguration
from metadata.footprint import Footprint, footprint, longest_tokens, plan, target_share
from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS
from metadata.records import Configuration, TargetModules, Task
from metadata.simulated import KINDS, Kind
from service import wording
from service.estimates.schemas import Knob

LEAST_SHARE = 0.01  # of the peak: what frees less is not worth a sentence
TOLD_TIME = 0.02  # a smaller change of the training time is none
BOUNDLESS_BYTES = 10**15  # a plan with all the room it wants: times at the same micro-batch
SHORTEST_TOKENS = 16  # examples cut to fewer say little
EIGHT_BIT = {"adamw": "adamw_8bit"}
SMALLER_TARGETS: Mapping[TargetModules, TargetModules] = {
    "all-linear": "attention",
    "mlp": "attention",
    "attention": "qv",
}
BASES = {"int8": "an int8 base", "nf4": "an NF4 base"}
TOLD_SHARE = 0.15  # of what all kinds shrink by: a kind that does by less is not named


@dataclass(frozen=True, kw_only=True)
class Step:
    """One micro-batch of a configuration on a task, padded to the longest of all."""

    configuration: Configuration
    task: Task
    micro_batch_size: int
    accumulates: bool

    def footprint(self) -> Footprint:
        """Return what it needs."""
        return footprint(
            self.configuration,
            self.task.model,
            micro_batch_size=self.micro_batch_size,
            length_tokens=longest_tokens(self.configuration, self.task),
            target_share=target_share(self.configuration, self.task),
            accumulates=self.accumulates,
        )


@dataclass(frozen=True, kw_only=True)
class _Change:
    name: str
    value: str
    words: str
    step: Step


def knobs_of(step: Step) -> list[Knob]:
    """Return the choices that would lower the peak of a step, the largest saving first."""
    now = step.footprint()
    found = (_knob(change, step, now) for change in _changes(step))
    worthwhile = [one for one in found if one and one.frees_bytes >= LEAST_SHARE * now.peak_bytes]
    return sorted(worthwhile, key=lambda one: -one.frees_bytes)


def _knob(change: _Change, step: Step, now: Footprint) -> Knob | None:
    then = change.step.footprint()
    frees = now.peak_bytes - then.peak_bytes
    if frees <= 0:
        return None
    relieved = _relieved(now, then)
    factor = _time_factor(change, step)
    return Knob(
        name=change.name,
        value=change.value,
        relieves=relieved[0],
        frees_bytes=frees,
        time_factor=factor,
        sentence=plainly(
            f"{_take(relieved, now)}: {change.words} frees {wording.size(frees)}{_time(factor)}."
        ),
    )


def _relieved(now: Footprint, then: Footprint) -> list[Kind]:
    """Return the kinds that shrink, that which shrinks most first."""
    before, after = bytes_of(now), bytes_of(then)
    shrinks = {kind: before[kind] - after[kind] for kind in KINDS}
    least = TOLD_SHARE * sum(by for by in shrinks.values() if by > 0)
    return sorted((kind for kind in KINDS if shrinks[kind] >= least), key=lambda k: -shrinks[k])


def _take(kinds: Sequence[Kind], now: Footprint) -> str:
    """Say what kinds take: `Optimizer state takes 186 MiB, gradients 93 MiB`."""
    verb = "takes" if kinds[0] == "state" else "take"
    sizes = [(name_of(kind), wording.size(bytes_of(now)[kind])) for kind in kinds]
    (first, size), others = sizes[0], sizes[1:]
    return ", ".join([f"{wording.capitalised(first)} {verb} {size}", *map(" ".join, others)])


def name_of(kind: Kind) -> str:
    """Say a kind of memory."""
    return "optimizer state" if kind == "state" else kind


def bytes_of(needs: Footprint) -> Mapping[Kind, int]:
    """Return the bytes of each kind, at whatever time of the step they are held."""
    return {
        "weights": needs.weights_bytes,
        "gradients": needs.gradient_bytes,
        "state": needs.state_bytes,
        "activations": needs.activation_bytes,
        "logits": needs.logits_bytes,
    }


def plainly(sentence: str) -> str:
    """Return a sentence with ordinary spaces, as programs like it."""
    return sentence.replace("\N{NO-BREAK SPACE}", " ")


def _time_factor(change: _Change, step: Step) -> float | None:
    """Return how much longer training takes with a change, at the same micro-batch."""
    if change.name == "micro_batch_size":
        return None
    then, now = (
        plan(one.configuration, one.task, memory_bytes=BOUNDLESS_BYTES).train_seconds
        for one in (change.step, step)
    )
    return then / now


def _time(factor: float | None) -> str:
    if factor is None or abs(factor - 1) < TOLD_TIME:
        return ""
    share = f"{100 * abs(factor - 1):.0f} %"
    return f" for {share} more time" if factor > 1 else f" and {share} of the time"


def _changes(step: Step) -> Iterator[_Change]:
    """Yield the changes that are possible here."""
    if step.micro_batch_size > 1:
        half = step.micro_batch_size // 2
        words = f"a micro-batch of {half} instead of {step.micro_batch_size}"
        smaller = replace(step, micro_batch_size=half, accumulates=True)
        yield _Change(name="micro_batch_size", value=str(half), words=words, step=smaller)
    for name, value, words, update in _updates(step):
        changed = step.configuration.model_copy(update=update)
        try:
            check(changed, step.task.model)
        except InvalidConfiguration:
            continue
        yield _Change(
            name=name, value=value, words=words, step=replace(step, configuration=changed)
        )


def _updates(step: Step) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Yield name, value, words and update of each change of the configuration."""
    c, device = step.configuration, step.task.device
    if not c.gradient_checkpointing:
        name = "gradient_checkpointing"
        yield name, "true", "gradient checkpointing", {name: True}
    if c.loss_on == "all":
        words = "a loss on the completion alone"
        yield "loss_on", "completion", words, {"loss_on": "completion"}
    longest = longest_tokens(c, step.task)
    if longest // 2 >= SHORTEST_TOKENS:
        name, half = "max_length_tokens", longest // 2
        words = f"cutting examples at {half} tokens instead of {longest}"
        yield name, str(half), words, {name: half}
    if c.precision == "fp32" and device.kind == "cuda":
        yield "precision", "bf16", "bf16 instead of fp32", {"precision": "bf16"}
    if c.quantization == "none" and device.kind == "cuda":
        for kind in METHODS[c.method.name].quantizations:
            yield "quantization", kind, BASES[kind], {"quantization": kind}
    if c.optimizer.name in EIGHT_BIT and device.kind == "cuda":
        name = EIGHT_BIT[c.optimizer.name]
        words = f"{OPTIMIZERS[name].title} instead of {OPTIMIZERS[c.optimizer.name].title}"
        update = {"optimizer": c.optimizer.model_copy(update={"name": name})}
        yield "optimizer.name", name, words, update
    if METHODS[c.method.name].uses_target_modules and c.target_modules in SMALLER_TARGETS:
        smaller = SMALLER_TARGETS[c.target_modules]
        words = f"target modules {smaller} instead of {c.target_modules}"
        yield "target_modules", smaller, words, {"target_modules": smaller}
