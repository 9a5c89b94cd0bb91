"""First answers trained live, on pairs whose dataset was left out of everything.

    python benchmarks/recommender_live.py --data FOLDER --base-model FOLDER --output FOLDER
        [--datasets NAME,...] [--runs FILE] [--pairs 24] [--seeds 2] [--tpe 16] [--processes 2]
        [--all-methods] [--new]

FILE is a Parquet file of runs, the shipped ones by default. A pair of each of so many datasets is
drawn among those that can be trained here. Knowledge is fitted without its dataset, and what is
answered first is trained and scored as the campaign does: by the service, by the greedy portfolio,
and by the default at the width rule's rate. With --tpe, Optuna's TPE searches the whole space for
so many runs, from nothing and beginning with the first 8 of the portfolio. Regret is that of the
pair in the table: 0 for the best of its core, 1 for the median; a live run may be better than the
best. A base model that was made again on another kind of CPU has other weights than the table's: it
is marked, as its regret then compares the players alone. With --new pairs are drawn that the table
does not hold and a campaign would train on: there is no core to tell regret by, and what stands
there is nats per token above the base's loss, less than 0 where something was gained. Adapters
only, unless --all-methods. What the output folder holds is not trained again; beside each pair
stands what it took: CPU seconds of learning without it and of the training that was left.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import optuna
from ConfigSpace import CategoricalHyperparameter, Constant, UniformIntegerHyperparameter

from metadata.evaluation import bootstrap
from metadata.kinds import restrict
from metadata.knowledge import Knowledge, fit_knowledge
from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS
from metadata.priors import carry_over
from metadata.records import Configuration, Run
from metadata.regret import WORST_REGRET
from metadata.runs_file import SHIPPED_RUNS, read_runs
from metadata.space import asked, exists, suited, values_of, width_rule_configuration
from metadata.table import Table, build_table
from service.recommender.answer import answer_question
from service.recommender.question import Question
from training_worker.campaign import run_items
from training_worker.campaigns.pairs import Pair, find_pairs, split_by_core
from training_worker.campaigns.plan import Item, affordable, item_of
from training_worker.campaigns.results import Results
from training_worker.campaigns.sources import find_sources

WARM = 8  # runs of the portfolio before TPE
LONGEST = 4.0  # times a normal run, as the campaign allows winners


@dataclass(frozen=True, kw_only=True)
class Held:
    """One pair, its scale of regret, and the knowledge that never saw its dataset.

    A pair that the table does not hold has no scale: its regret is nats above the base's loss.
    """

    pair: Pair
    known: Knowledge
    methods: tuple[str, ...]
    best: float = 0.0
    spread: float = 1.0
    weights: frozenset[str] = frozenset()  # hashes of what the runs of the table began with

    def regret(self, score: float | None) -> float:
        """Return the regret of a score; below 0 it beats the core."""
        if score is None:
            return WORST_REGRET
        return min((self.best - score) / self.spread, WORST_REGRET)


Player = Callable[[Held], Configuration]


def service_says(held: Held) -> Configuration:
    """Return the first answer of the service."""
    question = Question(task=held.pair.task, methods=held.methods, count=1)
    answer = answer_question(question, held.known, now=datetime.now(UTC))
    return answer.configurations[0].configuration


def portfolio_says(held: Held, place: int = 0) -> Configuration:
    """Return an entry of the greedy portfolio, carried over to the model."""
    entries = [e for e in held.known.portfolio if e.configuration.method.name in held.methods]
    entry = entries[min(place, len(entries) - 1)]
    return carry_over(entry.configuration, known=entry.model, new=held.pair.task.model)


def width_rule_says(held: Held) -> Configuration:
    """Return the default at the width rule's rate."""
    return width_rule_configuration(held.pair.task)


PLAYERS: Mapping[str, Player] = {
    "Peftwise": service_says,
    "portfolio": portfolio_says,
    "width rule": width_rule_says,
}


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """Trains what is not trained yet, in a folder, and looks scores up there."""

    output: Path
    processes: int
    seeds: int

    def scores(self, pair: Pair, configurations: Sequence[Configuration]) -> list[float | None]:
        """Return the mean score over the seeds of each; None where one failed."""
        wanted = [list(self._items(pair, one)) for one in configurations]
        once = {item.run_id: item for items in wanted for item in items}  # players may agree
        run_items(once.values(), self.output, processes=self.processes)
        runs = Results(self.output).of(pair.task.pair)
        found = [[runs[item.run_id].score for item in items] for items in wanted]
        return [None if None in one else float(np.mean([s or 0.0 for s in one])) for one in found]

    def weights(self, pair: Pair) -> frozenset[str]:
        """Return the hashes of what the runs of a pair began with."""
        return _weights(Results(self.output).of(pair.task.pair).values())

    def _items(self, pair: Pair, configuration: Configuration) -> Iterator[Item]:
        fitted = suited(configuration, pair.task)
        for seed in range(self.seeds):
            yield item_of(pair, fitted.model_copy(update={"seed": seed}), detail="live")


def _weights(runs: Iterable[Run]) -> frozenset[str]:
    return frozenset(run.versions["base_model"] for run in runs if "base_model" in run.versions)


def main() -> int:
    """Train and print."""
    options = _parse()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    table = build_table(read_runs(options.runs))
    trainer = Trainer(output=options.output, processes=options.processes, seeds=options.seeds)
    regret: dict[str, list[float]] = {}
    begun = _cpu_seconds()
    for held in _held_out(table, options):
        said = [player(held) for player in PLAYERS.values()]
        for name, score in zip(PLAYERS, trainer.scores(held.pair, said), strict=True):
            regret.setdefault(name, []).append(held.regret(score))
        for warm in (0, WARM) if options.tpe else ():
            name = f"TPE, {options.tpe} runs" + (f" after {warm} of the portfolio" if warm else "")
            regret.setdefault(name, []).append(_search(held, trainer, options.tpe, warm=warm))
        last = ", ".join(f"{name} {values[-1]:.3f}" for name, values in regret.items())
        took = _cpu_seconds() - begun
        begun += took
        pair = f"{held.pair.task.dataset.name} on {held.pair.task.model.id}"
        if held.weights and not trainer.weights(held.pair) <= held.weights:
            pair += ", its weights made again"
        print(f"{pair}: {last}; {took:.0f} CPU seconds", flush=True)
    _print(regret, unit="nats above the base's loss" if options.new else "regret")
    return 0


def _cpu_seconds() -> float:
    """Return the CPU time of this process and of those it started that have ended."""
    return sum(os.times()[:4])


def _held_out(table: Table, options: argparse.Namespace) -> Iterator[Held]:
    """Yield a pair of each of some datasets, and what the other datasets taught."""
    methods = tuple(n for n in METHODS if options.all_methods or n != "full")
    judged = table if options.all_methods else restrict(table, "peft")
    by_group: dict[str, list[Pair]] = {}
    for pair in _pairs(judged, options):
        by_group.setdefault(pair.task.dataset.group, []).append(pair)
    rng = Random(0)
    for group in rng.sample(sorted(by_group), min(options.pairs, len(by_group))):
        pair = rng.choice(by_group[group])
        known = fit_knowledge([r for r in table.runs if r.task.dataset.group != group])
        held = Held(pair=pair, known=known, methods=methods)
        yield held if options.new else _scaled(held, judged)


def _pairs(judged: Table, options: argparse.Namespace) -> Iterator[Pair]:
    """Yield what can be trained here: of the table, or what a campaign would add to it."""
    found = find_pairs(find_sources(options.data, options.datasets), options.base_model)
    if options.new:
        known = {task.pair for task in judged.tasks}
        affordable, _ = split_by_core(pair for pair in found if pair.task.pair not in known)
        yield from affordable
    else:
        here = {pair.task.pair: pair for pair in found}
        names = (judged.tasks[int(place)].pair for place in judged.usable)
        yield from (here[name] for name in names if name in here)


def _scaled(held: Held, judged: Table) -> Held:
    """Return it with the scale of regret that the table has."""
    name = held.pair.task.pair
    place = next(p for p in judged.usable.tolist() if judged.tasks[p].pair == name)
    rows = (judged.pair_N == place) & judged.core_N & np.isfinite(judged.regret_N)
    return replace(
        held,
        best=float(np.nanmax(judged.score_N[rows])),
        spread=float(judged.spread_P[place]),
        weights=_weights(run for run in judged.runs if run.task.pair == name),
    )


def _search(held: Held, trainer: Trainer, count: int, *, warm: int) -> float:
    """Return the regret of the best of a search by TPE."""
    study = optuna.create_study(
        direction="minimize", sampler=optuna.samplers.TPESampler(seed=0, multivariate=False)
    )
    for place in range(warm):
        study.enqueue_trial(values_of(portfolio_says(held, place), held.pair.task.model))
    best = WORST_REGRET
    optimizers = [name for name, spec in OPTIMIZERS.items() if not spec.needs_cuda]
    for _ in range(count):
        trial = study.ask()
        drawn = asked(
            held.pair.task.model,
            partial(_suggest, trial),
            methods=held.methods,
            optimizers=optimizers,
        )
        regret = WORST_REGRET
        if exists(drawn, held.pair.task.model):
            fitted = affordable(drawn, held.pair, budget=LONGEST)
            regret = held.regret(trainer.scores(held.pair, [fitted])[0])
        study.tell(trial, regret)
        best = min(best, regret)
    return best


def _suggest(trial: optuna.Trial, one: Any) -> Any:
    """Have Optuna choose a value of one of ConfigSpace's hyperparameters."""
    if isinstance(one, Constant):
        return one.value
    if isinstance(one, CategoricalHyperparameter):
        return trial.suggest_categorical(one.name, list(one.choices))
    if isinstance(one, UniformIntegerHyperparameter):
        return trial.suggest_int(one.name, one.lower, one.upper, log=one.log)
    return trial.suggest_float(one.name, one.lower, one.upper, log=one.log)


def _print(regret: Mapping[str, Sequence[float]], *, unit: str) -> None:
    rng = np.random.default_rng(0)
    print(f"\n{unit} of the first answer, trained, on {len(regret['Peftwise'])} pairs left out")
    ours = np.array(regret["Peftwise"])
    for name, values in regret.items():
        lead = bootstrap(ours - np.array(values), rng=rng, draws=10_000)
        print(
            f"  {name:40} {np.mean(values):.3f}   ours less this {lead.mean:+.3f} "
            f"({lead.low:+.3f} to {lead.high:+.3f})"
        )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=SHIPPED_RUNS)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--datasets", type=lambda text: text.split(","), default=[])
    parser.add_argument("--base-model", action="append", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--tpe", type=int, default=0, help="runs of each search; 0: none")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--all-methods", action="store_true")
    parser.add_argument("--new", action="store_true", help="pairs that the table does not hold")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
