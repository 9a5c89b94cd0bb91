"""Past runs to point at: those nearest to a question, and the winners of tasks like it.

Axes: N past runs (one a row of the table), P pairs, C configurations, F features.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metadata.arrays import Floats, Integers
from metadata.priors import carry_over
from metadata.records import Configuration, Run, Task
from metadata.relative import describe_alone, relative_key
from metadata.surrogates.scenarios import squares
from metadata.surrogates.transfer import Quality
from metadata.table import Table

WINNERS_A_PAIR = 3


@dataclass(frozen=True, kw_only=True)
class PastRun:
    """A past run, what it was worth in its pair, and how far it is from a question.

    `regret` is None where too few configurations were run on the pair to say.
    """

    run: Run
    regret: float | None
    distance: float


@dataclass(frozen=True, kw_only=True)
class PastRuns:
    """One run of each configuration and pair: the latest, without its curve.

    Attributes:
        runs: N runs.
        pair_N: The pair of each.
        score_N: Mean score of its repeats, NaN where none has one.
        regret_N: Regret, NaN where it is not defined.
        reference_NF: The configuration apart from its task.
        task_PT: Task features of each pair.
    """

    runs: tuple[Run, ...]
    pair_N: Integers
    score_N: Floats
    regret_N: Floats
    reference_NF: NDArray[np.float32]
    task_PT: Floats

    def nearest(
        self,
        task: Task,
        task_T: Floats,
        configurations: Sequence[Configuration],
        by: Quality,
        *,
        count: int,
    ) -> list[list[PastRun]]:
        """Return the runs nearest to each configuration on a task, nearest first.

        Distances of tasks and of configurations, each in its usual unit, add as squares.
        """
        scale_F = by.core.scale_F
        reference_CF = describe_alone(configurations, [task.model] * len(configurations)) / scale_F
        apart_CN = squares(reference_CF, self.reference_NF / scale_F) / by.core.usual_distance**2
        distance_P = by.distances.between(task_T, self.task_PT)
        distance_CN = np.sqrt(distance_P[self.pair_N] ** 2 + apart_CN)
        nearest_CN = np.argsort(distance_CN, axis=1, kind="stable")[:, :count]
        return [
            [self._past(int(row), float(distance_N[row])) for row in nearest_N]
            for nearest_N, distance_N in zip(nearest_CN, distance_CN, strict=True)
        ]

    def winners(
        self, task: Task, task_T: Floats, by: Quality, *, count: int
    ) -> list[Configuration]:
        """Return different configurations that won on similar tasks, for this one's model.

        The best of the nearest pair comes first, then the best of the next; seconds follow.
        """
        distance_P = by.distances.between(task_T, self.task_PT)
        ranked = sorted(
            (place, distance_P[self.pair_N[row]], row, key) for place, row, key in self._podium
        )
        first: dict[str, Run] = {}
        for _, _, row, key in ranked:
            first.setdefault(key, self.runs[row])
        return [
            carry_over(run.configuration, known=run.task.model, new=task.model)
            for run in list(first.values())[:count]
        ]

    @cached_property
    def _podium(self) -> list[tuple[int, int, str]]:
        """Return (place, row, relative key) of the best runs of each pair that gained at all."""
        podium = []
        for pair in range(len(self.task_PT)):
            rows = np.flatnonzero((self.pair_N == pair) & (self.score_N > 0))
            best = rows[np.argsort(-self.score_N[rows], kind="stable")][:WINNERS_A_PAIR]
            podium += [(place, int(row), self._key(int(row))) for place, row in enumerate(best)]
        return podium

    def _key(self, row: int) -> str:
        run = self.runs[row]
        return relative_key(run.configuration, run.task.model)

    def _past(self, row: int, distance: float) -> PastRun:
        regret = float(self.regret_N[row])
        return PastRun(
            run=self.runs[row],
            regret=None if np.isnan(regret) else regret,
            distance=distance,
        )


def past_runs_of(table: Table) -> PastRuns:
    """Return the rows of a table as runs to point at."""
    return PastRuns(
        runs=tuple(_latest(row) for row in table.rows),
        pair_N=table.pair_N,
        score_N=table.score_N,
        regret_N=table.regret_N,
        reference_NF=table.reference_NF.astype(np.float32),
        task_PT=table.task_PT,
    )


def _latest(row: Sequence[Run]) -> Run:
    latest = max(row, key=lambda run: (run.created_at, run.id))
    return latest.model_copy(update={"curve": (), "versions": {}})


def pack_runs(runs: Sequence[Run]) -> str:
    """Return runs as JSON, each task once."""
    tasks = {run.task.pair: run.task for run in runs}
    place = {pair: number for number, pair in enumerate(tasks)}
    packed = {
        "tasks": [task.model_dump(mode="json") for task in tasks.values()],
        "runs": [
            {
                **run.model_dump(mode="json", exclude={"task"}, exclude_defaults=True),
                "task": place[run.task.pair],
            }
            for run in runs
        ],
    }
    return json.dumps(packed, sort_keys=True, separators=(",", ":"), allow_nan=False)


def unpack_runs(text: str) -> tuple[Run, ...]:
    """Return the runs of `pack_runs`; those of one pair share a task, the latest one's."""
    packed = json.loads(text)
    tasks = [Task.model_validate(task) for task in packed["tasks"]]
    return tuple(Run.model_validate({**run, "task": tasks[run["task"]]}) for run in packed["runs"])
