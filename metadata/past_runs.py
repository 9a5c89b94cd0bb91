"""Past runs to point at: those nearest to a question, and the winners of tasks like it.

Axes: N past runs (one a row of the table), P pairs, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metadata.priors import carry_over
from metadata.records import Configuration, Run, Task
from metadata.surrogates.quality import Quality
from metadata.surrogates.scenarios import squares
from metadata.table import Floats, Integers, Table, describe_alone, relative_key

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
        self, task: Task, task_T: Floats, configuration: Configuration, by: Quality, *, count: int
    ) -> list[PastRun]:
        """Return the runs nearest to a configuration on a task, nearest first.

        Distances of tasks and of configurations, each in its usual unit, add as squares.
        """
        scale_F = by.core.scale_F
        reference_F = describe_alone([configuration], [task.model]) / scale_F
        apart_N = squares(self.reference_NF / scale_F, reference_F)[:, 0]
        apart_N = apart_N / by.core.usual_distance**2
        distance_P = by.distances.between(task_T, self.task_PT)
        distance_N = np.sqrt(distance_P[self.pair_N] ** 2 + apart_N)
        nearest = np.argsort(distance_N, kind="stable")[:count]
        return [self._past(int(row), float(distance_N[row])) for row in nearest]

    def winners(
        self, task: Task, task_T: Floats, by: Quality, *, count: int
    ) -> list[Configuration]:
        """Return different configurations that won on similar tasks, for this one's model.

        The best of the nearest pair comes first, then the best of the next; seconds follow.
        """
        distance_P = by.distances.between(task_T, self.task_PT)
        ranked = sorted((place, distance_P[self.pair_N[row]], row) for place, row in self._podium)
        found: dict[str, Configuration] = {}
        for _, _, row in ranked:
            run = self.runs[row]
            key = relative_key(run.configuration, run.task.model)
            if len(found) < count and key not in found:
                found[key] = carry_over(run.configuration, known=run.task.model, new=task.model)
        return list(found.values())

    @cached_property
    def _podium(self) -> list[tuple[int, int]]:
        """Return (place, row) of the best runs of each pair that gained at all."""
        podium = []
        for pair in range(len(self.task_PT)):
            rows = np.flatnonzero((self.pair_N == pair) & (self.score_N > 0))
            best = rows[np.argsort(-self.score_N[rows], kind="stable")][:WINNERS_A_PAIR]
            podium += [(place, int(row)) for place, row in enumerate(best)]
        return podium

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
