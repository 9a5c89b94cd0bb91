"""Everything learnt from past runs, as one version: what answers questions, and how good it is.

Axes: C candidates, N past runs, P pairs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast
from weakref import WeakKeyDictionary

import numpy as np

from metadata import knowledge_files
from metadata.arrays import Floats
from metadata.effects import Effect, effects
from metadata.evidence import Evidence, weigh_evidence
from metadata.features.task import describe_task
from metadata.footprint import Plan, plan
from metadata.forecast import Forecast, PortfolioEntry
from metadata.held_out import HeldOut, fit_proven
from metadata.kinds import Kind
from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS
from metadata.past_runs import PastRun, PastRuns, pack_runs, past_runs_of, unpack_runs
from metadata.pool import Pool
from metadata.records import Configuration, ModelProfile, Run, Task
from metadata.space import default_configuration
from metadata.surrogates import SURROGATES
from metadata.surrogates.forgetting import Forgetting
from metadata.surrogates.portfolio import Portfolio
from metadata.surrogates.rehearsal import COUNTS
from metadata.surrogates.scenarios import balance, fill
from metadata.surrogates.spec import Candidates, Prediction, State, Surrogate, gather
from metadata.surrogates.transfer import Quality
from metadata.table import Table, build_table

__all__ = [
    "SHIPPED_KNOWLEDGE",
    "Effect",
    "Evidence",
    "Forecast",
    "Knowledge",
    "PastRun",
    "PortfolioEntry",
    "compare",
    "fit_knowledge",
]

SHIPPED_KNOWLEDGE = Path(__file__).parent / "data" / "knowledge"
PORTFOLIO_LENGTH = 16
# Mean regret at 1 by which a new version may lose to the old and still be called no worse: far
# below the standard error of such a mean over a few dozen datasets, which is .03 to .06.
TOLERANCE = 0.01


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """One fitted, versioned set of surrogates. It never changes; a refit makes another.

    Attributes:
        version: Hash of the content: the same runs and seed give the same version.
        created_from: How many runs, tasks, datasets and models; where the runs come from.
        portfolio: The greedy portfolio, in the order to try.
        held_out: `{"datasets": n, "regret": {"ours" | "portfolio": {"1": ..., "16": ...}},
            "groups": {dataset group: {"ours" | "portfolio": {"1": ..., ...}}}, "kinds": {kind:
            {"datasets", "regret", "trust"}}}`: the mean regret of the best so far on datasets
            left out, by kind of question too.
    """

    version: str
    created_from: Mapping[str, Any]
    portfolio: tuple[PortfolioEntry, ...]
    held_out: Mapping[str, Any]
    surrogates: Mapping[str, Surrogate]
    past: PastRuns

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """Return the names of the methods that some past run tried, in the table's order."""
        tried = {run.configuration.method.name for run in self.past.runs}
        return tuple(name for name in METHODS if name in tried)

    @cached_property
    def optimizers(self) -> tuple[str, ...]:
        """Return the names of the optimizers that some past run tried, in the table's order."""
        tried = {run.configuration.optimizer.name for run in self.past.runs}
        return tuple(name for name in OPTIMIZERS if name in tried)

    def forecast(
        self,
        task: Task,
        configurations: Sequence[Configuration],
        plans: Sequence[Plan],
        *,
        kind: Kind = "free",
    ) -> Forecast:
        """Forecast quality, time and memory of candidates on a task.

        Args:
            task: What they are to run on.
            configurations: C configurations that pass `metadata.space.check`.
            plans: How each would run, from `metadata.footprint.plan`.
            kind: What the question allows: regret is among that.
        """
        quality = self.quality.of(kind)
        default = default_configuration(task)
        candidates = gather(task, [*configurations, default], [*plans, plan(default, task)])
        scene = quality.look(candidates)
        regret = quality.judge(scene)
        seconds, peak = self._costs(candidates)
        forgotten = self.surrogates["forgetting"].forecast(candidates)
        default_regret = float(regret.expected_C[-1])
        beats_C = quality.beats(regret.expected_C, default_regret, scene.distance)
        return Forecast(
            described=candidates.take(np.arange(len(configurations))),
            regret=regret.expected_C[:-1],
            regret_low=regret.low_C[:-1],
            regret_high=regret.high_C[:-1],
            beats_default=beats_C[:-1],
            seconds=seconds.expected_C[:-1],
            seconds_low=seconds.low_C[:-1],
            seconds_high=seconds.high_C[:-1],
            bytes=peak.expected_C[:-1],
            bytes_low=peak.low_C[:-1],
            bytes_high=peak.high_C[:-1],
            failure=scene.failure_C[:-1],
            forgotten=forgotten.expected_C[:-1],
            forgotten_low=forgotten.low_C[:-1],
            forgotten_high=forgotten.high_C[:-1],
        )

    def costs(
        self, task: Task, configurations: Sequence[Configuration], plans: Sequence[Plan]
    ) -> tuple[Prediction, Prediction]:
        """Forecast seconds of training and bytes at the peak alone, as `forecast` does."""
        return self._costs(gather(task, configurations, plans))

    def _costs(self, candidates: Candidates) -> tuple[Prediction, Prediction]:
        seconds, peak = (self.surrogates[name].forecast(candidates) for name in ("time", "memory"))
        return seconds, peak

    def screen(self, pool: Pool, task: Task) -> Floats:
        """Return what a small model expects of each configuration of a pool on a task, P."""
        if pool not in self._screened:
            self._screened[pool] = self.quality.outlines(pool.described)
        own_P, published_P = self._screened[pool]
        share = self.quality.share_of_published(describe_task(task))
        expected_P: Floats = (1.0 - share) * own_P + share * published_P
        return expected_P

    @cached_property
    def _screened(self) -> WeakKeyDictionary[Pool, tuple[Floats, Floats]]:
        return WeakKeyDictionary()

    @property
    def knows_forgetting(self) -> bool:
        """Say whether past runs report what was forgotten."""
        return self._forgetting.is_known

    @property
    def nats_of_regret(self) -> float:
        """Return the nats per token that one unit of regret is worth, the median over pairs."""
        return self._forgetting.nats_of_regret

    def pick(self, forecast: Forecast, *, count: int, kind: Kind = "free") -> list[int]:
        """Return a list of candidates that is good and different, best first, as row numbers.

        Each entry lowers the expected regret of the best so far the most; `forecast.regret` may
        hold a price beside the regret. Configurations that were never run need to be better by
        what is not known of them.
        """
        picked = self.quality.of(kind).pick(forecast.described, forecast.regret, count=count)
        return [int(row) for row in picked]

    def evidence(self, task: Task) -> Evidence:
        """Say what an answer for a task stands on, and how far the task is from it."""
        return weigh_evidence(
            task,
            self.quality,
            runs=int(self.created_from["runs"]),
            tasks=int(self.created_from["tasks"]),
        )

    def nearest_runs(
        self, task: Task, configurations: Sequence[Configuration], *, count: int
    ) -> list[list[PastRun]]:
        """Return past runs like each configuration on a task, nearest first."""
        task_T = gather(task, []).task_T
        return self.past.nearest(task, task_T, configurations, self.quality, count=count)

    def past_winners(self, task: Task, *, count: int) -> list[Configuration]:
        """Return configurations that won on similar tasks, rates carried over to this model."""
        return self.past.winners(task, gather(task, []).task_T, self.quality, count=count)

    def effects(self, task: Task, configurations: Sequence[Configuration]) -> list[list[Effect]]:
        """Return of each what its choices, where not the default's, add to its expected regret."""
        return effects(task, configurations, self.quality)

    def save(self, folder: Path) -> None:
        """Write this version to a folder, which is made where it is not there."""
        knowledge_files.write(folder, _pack(self), version=self.version)

    @classmethod
    def load(cls, folder: Path) -> "Knowledge":
        """Read a version from a folder.

        Raises:
            InvalidRequest: The folder holds none, it is damaged, or of another version of ours.
        """
        content, version = knowledge_files.read(folder)
        return _unpack(content, version=version)

    @property
    def _forgetting(self) -> Forgetting:
        return cast(Forgetting, self.surrogates["forgetting"])

    @cached_property
    def quality(self) -> Quality:
        """Return what forecasts regret."""
        return cast(Quality, self.surrogates["quality"])


def fit_knowledge(runs: Sequence[Run], *, seed: int = 0) -> Knowledge:
    """Learn from runs; the same runs, in any order, and seed give the same version.

    Runs on a pair where too few configurations were tried to say which is best teach costs, and
    stand among the evidence, the nearest runs and the winners; quality is learnt from the others.

    Raises:
        TooFewRuns: A core of configurations was run on fewer than four datasets, or fewer than
            ten runs report their costs.
    """
    table = build_table(runs)
    quality, held_out = fit_proven(table, seed)
    surrogates: dict[str, Surrogate] = {
        name: quality if name == "quality" else spec.fit(table, seed)
        for name, spec in SURROGATES.items()
    }
    draft = Knowledge(
        version="",
        created_from=_describe_origin(table, seed),
        portfolio=_portfolio(table, cast(Portfolio, surrogates["portfolio"])),
        held_out=_held_out(table, held_out, quality),
        surrogates=surrogates,
        past=past_runs_of(table),
    )
    content = _pack(draft)
    return _unpack(content, version=knowledge_files.content_version(content))


def compare(old: Knowledge, new: Knowledge) -> bool:
    """Say whether a new version is not worse than an old one on datasets left out.

    Both played the same protocol on their own table. Its mean regret at 1 over the datasets that
    both have (all of each where they share none) may lie `TOLERANCE` above the old one's.
    """
    shared = sorted(set(old.held_out["groups"]) & set(new.held_out["groups"]))
    if not shared:
        return _overall(new) <= _overall(old) + TOLERANCE
    before, after = (
        float(np.mean([one.held_out["groups"][group]["ours"]["1"] for group in shared]))
        for one in (old, new)
    )
    return after <= before + TOLERANCE


def _overall(known: Knowledge) -> float:
    return float(known.held_out["regret"]["ours"]["1"])


def _describe_origin(table: Table, seed: int) -> dict[str, Any]:
    sources = sorted({run.origin.source for run in table.runs})
    return {
        "runs": len(table.runs),
        "tasks": len(table.tasks),
        "datasets": len(table.groups),
        "models": sorted({task.model.id for task in table.tasks}),
        "core": len(table.core_keys),
        "learnt_from_tasks": len(table.usable),
        "dropped_tasks": len(table.dropped),
        "sources": {name: sum(run.origin.source == name for run in table.runs) for name in sources},
        "seed": seed,
    }


def _portfolio(table: Table, portfolio: Portfolio) -> tuple[PortfolioEntry, ...]:
    scenarios = portfolio.scenarios
    weight_T = balance(scenarios.group_T)
    filled_TK = fill(scenarios.regret_TK, weight_T)
    best_T = np.full(len(filled_TK), np.inf)
    entries = []
    for column in portfolio.order(count=PORTFOLIO_LENGTH):
        best_T = np.minimum(best_T, filled_TK[:, column])
        run = table.rows[_first_row(table, int(table.core_keys[column]))][0]
        entries.append(
            PortfolioEntry(
                configuration=run.configuration,
                model=run.task.model,
                mean_regret=float(weight_T @ filled_TK[:, column]),
                list_regret=float(weight_T @ best_T),
            )
        )
    return tuple(entries)


def _first_row(table: Table, key: int) -> int:
    return int(np.flatnonzero(table.key_N == key)[0])


def _held_out(table: Table, held_out: Mapping[Kind, HeldOut], quality: Quality) -> dict[str, Any]:
    free = held_out["free"]
    players = _players(free)
    return {
        **_means(free),
        "groups": {
            table.groups[group]: {name: _by_count(values[g]) for name, values in players.items()}
            for g, group in enumerate(free.groups)
        },
        "kinds": {
            kind: {**_means(one), "trust": quality.views[kind].trust}
            for kind, one in held_out.items()
        },
    }


def _means(held_out: HeldOut) -> dict[str, Any]:
    regret = {name: _by_count(value.mean(axis=0)) for name, value in _players(held_out).items()}
    return {"datasets": len(held_out.groups), "regret": regret}


def _players(held_out: HeldOut) -> dict[str, Floats]:
    return {"ours": held_out.ours_GQ, "portfolio": held_out.portfolio_GQ}


def _by_count(regret_Q: Floats) -> dict[str, float]:
    return {str(count): float(value) for count, value in zip(COUNTS, regret_Q, strict=True)}


def _pack(known: Knowledge) -> knowledge_files.Content:
    states = {name: surrogate.state() for name, surrogate in known.surrogates.items()}
    return knowledge_files.Content(
        values={
            "created_from": dict(known.created_from),
            "held_out": dict(known.held_out),
            "portfolio": [
                {
                    **vars(entry),
                    "configuration": entry.configuration.model_dump(mode="json"),
                    "model": entry.model.model_dump(mode="json"),
                }
                for entry in known.portfolio
            ],
            "surrogates": {name: dict(state.values) for name, state in states.items()},
        },
        arrays={
            **{
                f"{name}.{key}": np.asarray(array)
                for name, state in states.items()
                for key, array in state.arrays.items()
            },
            **{f"past.{key}": getattr(known.past, key) for key in _PAST_ARRAYS},
        },
        runs=pack_runs(known.past.runs),
        texts={name: state.texts for name, state in states.items() if state.texts},
    )


_PAST_ARRAYS = ("pair_N", "score_N", "regret_N", "reference_NF", "task_PT")


def _unpack(content: knowledge_files.Content, *, version: str) -> Knowledge:
    values = content.values
    return Knowledge(
        version=version,
        created_from=values["created_from"],
        portfolio=tuple(
            PortfolioEntry(
                configuration=Configuration.model_validate(entry["configuration"]),
                model=ModelProfile.model_validate(entry["model"]),
                mean_regret=entry["mean_regret"],
                list_regret=entry["list_regret"],
            )
            for entry in values["portfolio"]
        ),
        held_out=values["held_out"],
        surrogates={
            name: spec.restore(
                State(
                    values=values["surrogates"][name],
                    arrays=_named(content, name),
                    texts=content.texts.get(name, ()),
                )
            )
            for name, spec in SURROGATES.items()
        },
        past=PastRuns(runs=unpack_runs(content.runs), **_named(content, "past")),
    )


def _named(content: knowledge_files.Content, owner: str) -> dict[str, Any]:
    start = f"{owner}."
    return {
        name.removeprefix(start): array
        for name, array in content.arrays.items()
        if name.startswith(start)
    }
