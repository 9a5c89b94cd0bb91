"""What a campaign runs, in which order: whole pairs of the core first."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np

from metadata.errors import UnknownModel
from metadata.features.device import this_machine
from metadata.features.model import find_model, profile_model
from metadata.messages import Limits
from metadata.optimizers import OPTIMIZERS
from metadata.priors import usual_rate
from metadata.records import Configuration, Device, ModelProfile, Task, content_hash
from metadata.space import sample
from training_worker.campaigns.core import (
    REPEAT_SEEDS,
    REPEATED,
    core_configurations,
    shortened,
)
from training_worker.campaigns.sources import Sized, Source, profile, sizes
from training_worker.model import resolve_model

PHASES = ("core", "repeats", "random", "extreme")
MOST_TOKENS = 60_000  # of one run beyond the core: about ten seconds of one thread
MOST_STEPS = 400
EXTREME_RATIOS = (10.0, 30.0)  # of the usual rate, to see training diverge
LONGEST_RUN_SECONDS = 300.0  # far beyond any run of a tiny model: only a stuck one meets it
SHORT_SECONDS = 1.0  # of the few runs that are cut off by time
SCARCE_OF_WEIGHTS = 1.5  # memory of the few runs that are short of it, over fp32 weights
LIMITED_EVERY = 8  # pairs: one of them has a run cut off by time and one short of memory


@dataclass(frozen=True, kw_only=True)
class Item:
    """One run to do. `base_model` is an id or a folder, `task.model.id` its name."""

    run_id: str
    sized: Sized
    base_model: str
    task: Task
    configuration: Configuration
    limits: Limits
    core: bool
    detail: str


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One dataset at one size on one base model."""

    sized: Sized
    base_model: str
    task: Task


def plan_items(
    sources: Sequence[Source],
    base_models: Sequence[str],
    *,
    phases: Sequence[str] = PHASES,
    random_runs: int = 8,
    shuffle_seed: int = 0,
) -> Iterator[Item]:
    """Yield the runs of a campaign: each phase on all pairs before the next.

    An interruption leaves whole pairs, and pairs come in a shuffled order, so that it leaves some
    of every kind.
    """
    pairs = find_pairs(sources, base_models)
    Random(shuffle_seed).shuffle(pairs)
    makers = {
        "core": _core,
        "repeats": _repeats,
        "random": lambda pair: _random(pair, random_runs),
        "extreme": _extreme,
    }
    seen: set[str] = set()
    for phase in phases:
        for pair in pairs:
            for item in makers[phase](pair):
                if item.run_id not in seen:
                    seen.add(item.run_id)
                    yield item


def find_pairs(sources: Sequence[Source], base_models: Sequence[str]) -> list[Pair]:
    """Return every dataset at every size on every base model, on this machine's CPU."""
    device = this_machine()
    models = {base_model: describe_model(base_model) for base_model in base_models}
    return [
        _pair(sized, base_model, model, device)
        for source in sources
        for sized in sizes(source)
        for base_model, model in models.items()
    ]


def describe_model(base_model: str) -> ModelProfile:
    """Return the profile of a base model by id or folder.

    Raises:
        UnknownModel: It is no known id, and no folder with a config.json.
    """
    config = Path(resolve_model(base_model)) / "config.json"
    name = Path(base_model).name
    try:
        return find_model(name)
    except UnknownModel:
        if not config.is_file():
            raise
    return profile_model(json.loads(config.read_text(encoding="utf-8")), id=name)


def run_id(task: Task, configuration: Configuration, limits: Limits) -> str:
    """Name a run by its content: the pair, the configuration with its seed, and the limits."""
    return content_hash(
        {
            "pair": task.pair,
            "configuration": configuration.model_dump(mode="json"),
            "limits": limits.model_dump(mode="json"),
        }
    )[:32]


def _pair(sized: Sized, base_model: str, model: ModelProfile, device: Device) -> Pair:
    task = Task(model=model, dataset=profile(sized), device=device)
    return Pair(sized=sized, base_model=base_model, task=task)


def _core(pair: Pair) -> Iterator[Item]:
    for name, configuration in core_configurations(pair.task).items():
        yield _item(pair, configuration, detail=f"core: {name}", core=True)


def _repeats(pair: Pair) -> Iterator[Item]:
    core = core_configurations(pair.task)
    for seed in REPEAT_SEEDS:
        for name in REPEATED:
            repeated = core[name].model_copy(update={"seed": seed})
            yield _item(pair, repeated, detail=f"core: {name}", core=True)


def _random(pair: Pair, count: int) -> Iterator[Item]:
    optimizers = _optimizers(pair.task.device)
    for drawn in sample(pair.task.model, count=count, rng=_rng(pair), optimizers=optimizers):
        yield _item(pair, affordable(drawn, pair), detail="random")


def _extreme(pair: Pair) -> Iterator[Item]:
    rng = _rng(pair, salt=1)
    optimizers = _optimizers(pair.task.device, with_rate=True)
    drawn = sample(pair.task.model, count=3, rng=rng, optimizers=optimizers)
    ratio = float(np.exp(rng.uniform(*np.log(EXTREME_RATIOS))))
    yield _item(pair, affordable(_at_ratio(drawn[0], pair, ratio), pair), detail="high rate")
    if int(pair.task.dataset.sha256[:8], 16) % LIMITED_EVERY == 0:
        slow, large = (affordable(found, pair) for found in drawn[1:])
        yield _item(pair, slow, detail="short of time", limits=Limits(train_seconds=SHORT_SECONDS))
        memory = round(4 * SCARCE_OF_WEIGHTS * pair.task.model.parameters)
        scarce = pair.task.device.model_copy(update={"memory_bytes": memory})
        small = Pair(
            sized=pair.sized,
            base_model=pair.base_model,
            task=pair.task.model_copy(update={"device": scarce}),
        )
        limits = Limits(train_seconds=LONGEST_RUN_SECONDS, memory_bytes=memory)
        yield _item(small, large, detail="short of memory", limits=limits)


def _optimizers(device: Device, *, with_rate: bool = False) -> list[str]:
    """Return the optimizers that run on a device; with a rate, those that have one to choose."""
    return [
        name
        for name, spec in OPTIMIZERS.items()
        if (spec.has_learning_rate or not with_rate)
        and (device.kind == "cuda" or not spec.needs_cuda)
    ]


def affordable(configuration: Configuration, pair: Pair) -> Configuration:
    """Return a configuration with no more epochs than tokens and steps allow."""
    fitted = shortened(configuration, pair.task)
    dataset, model = pair.task.dataset, pair.task.model
    mean = (dataset.prompt_bytes.mean + dataset.completion_bytes.mean) / model.bytes_per_token
    tokens = pair.sized.size * min(mean, fitted.max_length_tokens)
    most = min(MOST_TOKENS / tokens, MOST_STEPS * fitted.batch_size / pair.sized.size)
    epochs = float(f"{min(fitted.epochs, max(0.5, most)):.2g}")
    return fitted.model_copy(update={"epochs": epochs})


def _at_ratio(configuration: Configuration, pair: Pair, ratio: float) -> Configuration:
    method, optimizer = configuration.method.name, configuration.optimizer
    rate = float(f"{usual_rate(method, optimizer.name, pair.task.model) * ratio:.3g}")
    changed = optimizer.model_copy(update={"learning_rate": rate})
    return configuration.model_copy(update={"optimizer": changed})


def _item(
    pair: Pair,
    configuration: Configuration,
    *,
    detail: str,
    core: bool = False,
    limits: Limits | None = None,
) -> Item:
    limits = limits or Limits(train_seconds=LONGEST_RUN_SECONDS)
    return Item(
        run_id=run_id(pair.task, configuration, limits),
        sized=pair.sized,
        base_model=pair.base_model,
        task=pair.task,
        configuration=configuration,
        limits=limits,
        core=core,
        detail=detail,
    )


def _rng(pair: Pair, *, salt: int = 0) -> np.random.Generator:
    return np.random.default_rng([salt, int(pair.task.dataset.sha256[:15], 16)])
