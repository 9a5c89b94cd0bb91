"""What a campaign runs, in which order.

First four runs of each dataset and base model screen out what the base cannot learn. Then come
blocks of pairs, every phase of a block before the next block: an interruption leaves whole pairs,
and pairs come in a shuffled order, so that it leaves some of every kind.

Phases after the core look at results; what is planned is the same again from the same results.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random

import numpy as np

from metadata.messages import Limits
from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS
from metadata.priors import usual_rate
from metadata.records import Configuration, Device, Run, Task, content_hash
from metadata.space import neighbours, sample
from training_worker.campaigns.core import SCREENING, core_configurations, shortened
from training_worker.campaigns.pairs import Pair, seconds_of
from training_worker.campaigns.results import Results
from training_worker.campaigns.sources import Sized

BLOCK = 16  # pairs
SCREEN_EXAMPLES = 200  # or the nearest size above that is there, else the largest
LEAST_GAIN = 0.1  # nats per token that the best of the screening must gain
BEST, SECOND_SEED = 5, 1
SPREAD, WINNERS, NEIGHBOURS = 8, 3, 1  # runs of a pair beyond the core; winners; of each winner
TOKENS = 30_000  # of a normal run beyond the core
BUDGETS = (0.25, 1.0, 4.0)  # times that
MOST_STEPS = 400  # in a normal run
HIGH_RATIOS = (3.0, 10.0)  # of the usual rate, without clipping, to see training diverge
LONGEST_RUN_SECONDS = 300.0  # far beyond any run of a tiny model: only a stuck one meets it
SHORT_SHARE = 0.3  # of the forecast time, for runs that are cut off
SCARCE_OF_WEIGHTS = 1.5  # memory of the runs that are short of it, over fp32 weights
LIMITED_EVERY = 3  # pairs: one of them has a run cut off by time, another one short of memory


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


Runs = Mapping[str, Run]
Phase = Callable[[Pair, int, Runs], Iterator[Item]]


def plan_items(
    pairs: Sequence[Pair],
    results: Results,
    *,
    phases: Sequence[str] | None = None,
    sizes: Sequence[int] = (),
    methods: Sequence[str] = (),
    shuffle_seed: int = 0,
) -> Iterator[Item]:
    """Yield the runs of a campaign, those that are done among them, looking at results as it goes.

    Where `sizes` names some, a dataset passes too by what it was screened on without that. Where it
    names some, `methods` are those of the spread.
    """
    chosen = PHASES if phases is None else phases
    own_spread = partial(spread, methods=methods or tuple(METHODS))
    of_pairs: dict[str, Phase] = {**OF_PAIRS, "spread": own_spread}
    shuffled = list(pairs)
    Random(shuffle_seed).shuffle(shuffled)
    wanted = [pair for pair in shuffled if not sizes or pair.sized.size in sizes]
    screened, usually = screening_pairs(wanted), screening_pairs(shuffled)
    if SCREEN in chosen:
        for pair in screened.values():
            yield from screen(pair)
    for start in range(0, len(wanted), BLOCK):
        block = [
            (start + place, pair)
            for place, pair in enumerate(wanted[start : start + BLOCK])
            if any(passes(of[pair.subject], results) for of in (screened, usually))
        ]
        for phase in (of_pairs[name] for name in chosen if name != SCREEN):
            for number, pair in block:
                yield from phase(pair, number, results.of(pair.task.pair))


def screening_pairs(pairs: Sequence[Pair]) -> dict[tuple[str, str], Pair]:
    """Return the pair on which each dataset and base model are screened."""
    found: dict[tuple[str, str], Pair] = {}
    for pair in sorted(pairs, key=lambda pair: pair.sized.size):
        known = found.get(pair.subject)
        if known is None or known.sized.size < SCREEN_EXAMPLES:
            found[pair.subject] = pair
    return {pair.subject: found[pair.subject] for pair in pairs}


def passes(pair: Pair, results: Results) -> bool:
    """Say whether the best of a pair's screening gained enough; not where it was not screened."""
    screening = {item.run_id for item in screen(pair)}
    runs = results.of(pair.task.pair)
    gains = [runs[known].score for known in screening & runs.keys()]
    return max((gain for gain in gains if gain is not None), default=0.0) >= LEAST_GAIN


def screen(pair: Pair) -> Iterator[Item]:
    """Yield a few of the core."""
    found = core_configurations(pair.task)
    yield from (_core_item(pair, name, found[name]) for name in found if name in SCREENING)


def core(pair: Pair, number: int, runs: Runs) -> Iterator[Item]:
    """Yield the core, the same on every pair."""
    del number, runs
    for name, configuration in core_configurations(pair.task).items():
        yield _core_item(pair, name, configuration)


def seeds(pair: Pair, number: int, runs: Runs) -> Iterator[Item]:
    """Yield the best of the core again with another seed."""
    del number
    for run in _best([run for run in runs.values() if run.core], BEST):
        again = run.configuration.model_copy(update={"seed": SECOND_SEED})
        yield item_of(pair, again, detail=run.origin.detail, core=True)


def spread(
    pair: Pair, number: int, runs: Runs, *, methods: Sequence[str] = tuple(METHODS)
) -> Iterator[Item]:
    """Yield runs drawn from the whole space, the methods in turn over all pairs."""
    del runs
    rng, names = _rng(pair), sorted(methods)
    optimizers = _optimizers(pair.task.device)
    for place in range(SPREAD):
        turn = number * SPREAD + place
        budget = float(rng.choice(BUDGETS))
        for drawn in _next_that_exists(pair, names, turn, rng, optimizers):
            yield item_of(pair, affordable(drawn, pair, budget=budget), detail="spread")


def near(pair: Pair, number: int, runs: Runs) -> Iterator[Item]:
    """Yield neighbours of the best so far."""
    del number
    rng, optimizers = _rng(pair, salt=2), _optimizers(pair.task.device)
    for run in _best(list(runs.values()), WINNERS):
        found = neighbours(
            run.configuration, pair.task.model, count=NEIGHBOURS, rng=rng, optimizers=optimizers
        )
        for configuration in found:
            yield item_of(pair, affordable(configuration, pair, budget=BUDGETS[-1]), detail="near")


def limits(pair: Pair, number: int, runs: Runs) -> Iterator[Item]:
    """Yield runs that may fail: of a rate far too high, short of time or of memory."""
    del runs
    rng = _rng(pair, salt=1)
    optimizers = _optimizers(pair.task.device, with_rate=True)
    high, limited = sample(pair.task.model, count=2, rng=rng, optimizers=optimizers)
    ratio = float(np.exp(rng.uniform(*np.log(HIGH_RATIOS))))
    yield item_of(pair, affordable(_unsafe(high, pair, ratio), pair), detail="high rate")
    limited = affordable(limited, pair)
    if number % LIMITED_EVERY == 0:
        seconds = max(0.2, SHORT_SHARE * seconds_of([limited], pair.task))
        short = Limits(train_seconds=float(f"{seconds:.2g}"))
        yield item_of(pair, limited, detail="short of time", limits=short)
    if number % LIMITED_EVERY == 1:
        yield _scarce(pair, limited)


OF_PAIRS: Mapping[str, Phase] = {
    "core": core,
    "seeds": seeds,
    "spread": spread,
    "near": near,
    "limits": limits,
}
SCREEN = "screen"
PHASES = (SCREEN, *OF_PAIRS)


def run_id(task: Task, configuration: Configuration, limits: Limits) -> str:
    """Name a run by its content: the pair, the configuration with its seed, and the limits."""
    return content_hash(
        {
            "pair": task.pair,
            "configuration": configuration.model_dump(mode="json"),
            "limits": limits.model_dump(mode="json"),
        }
    )[:32]


def affordable(configuration: Configuration, pair: Pair, *, budget: float = 1.0) -> Configuration:
    """Return a configuration with no more epochs than the tokens and steps of a budget allow."""
    fitted = shortened(configuration, pair.task)
    dataset, model = pair.task.dataset, pair.task.model
    mean = (dataset.prompt_bytes.mean + dataset.completion_bytes.mean) / model.bytes_per_token
    tokens = pair.sized.size * min(mean, fitted.max_length_tokens)
    steps = MOST_STEPS * fitted.batch_size / pair.sized.size
    most = budget * min(TOKENS / tokens, steps)
    epochs = float(f"{min(fitted.epochs, max(0.05, most)):.2g}")
    return fitted.model_copy(update={"epochs": epochs})


def _core_item(pair: Pair, name: str, configuration: Configuration) -> Item:
    return item_of(pair, configuration, detail=f"core: {name}", core=True)


def _best(runs: Sequence[Run], most: int) -> list[Run]:
    scored = [run for run in runs if run.score is not None and run.configuration.seed == 0]
    return sorted(scored, key=lambda run: (-(run.score or 0.0), run.id))[:most]


def _next_that_exists(
    pair: Pair, names: Sequence[str], turn: int, rng: np.random.Generator, optimizers: list[str]
) -> list[Configuration]:
    """Draw a configuration of the method whose turn it is, or of the first after it that exists."""
    for place in range(turn, turn + len(names)):
        name = names[place % len(names)]
        found = sample(pair.task.model, count=1, rng=rng, methods=[name], optimizers=optimizers)
        if found:
            return found
    return []


def _scarce(pair: Pair, configuration: Configuration) -> Item:
    """Return a run on a device with hardly more memory than the weights take."""
    memory = round(4 * SCARCE_OF_WEIGHTS * pair.task.model.parameters)
    device = pair.task.device.model_copy(update={"memory_bytes": memory})
    small = replace(pair, task=pair.task.model_copy(update={"device": device}))
    limits = Limits(train_seconds=LONGEST_RUN_SECONDS, memory_bytes=memory)
    return item_of(small, configuration, detail="short of memory", limits=limits)


def _optimizers(device: Device, *, with_rate: bool = False) -> list[str]:
    """Return the optimizers that run on a device; with a rate, those that have one to choose."""
    return [
        name
        for name, spec in OPTIMIZERS.items()
        if (spec.has_learning_rate or not with_rate)
        and (device.kind == "cuda" or not spec.needs_cuda)
    ]


def _unsafe(configuration: Configuration, pair: Pair, ratio: float) -> Configuration:
    """Return a configuration with a high rate, nothing clipped, and its last checkpoint kept."""
    method, optimizer = configuration.method.name, configuration.optimizer
    rate = float(f"{usual_rate(method, optimizer.name, pair.task.model) * ratio:.3g}")
    changed = optimizer.model_copy(update={"learning_rate": rate})
    return configuration.model_copy(
        update={"optimizer": changed, "gradient_clipping": "none", "keep": "last"}
    )


def item_of(
    pair: Pair,
    configuration: Configuration,
    *,
    detail: str,
    core: bool = False,
    limits: Limits | None = None,
) -> Item:
    """Return a run to do on a pair."""
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
    seed = int(content_hash([pair.task.pair])[:15], 16)
    return np.random.default_rng([salt, seed])
