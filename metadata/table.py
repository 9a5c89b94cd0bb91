"""Past runs as arrays: what they scored, how far that is from the best, and what describes them.

A *row* is one configuration on one pair (base model and data), its repeats averaged. Two
configurations are the same, on different base models too, where all choices that carry over are:
the learning rate as a multiple of the usual one, and nothing that only suits data or device.

Axes: N rows, P pairs, K configurations by relative key, F features, T task features.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from metadata.arrays import Booleans, Floats, Integers
from metadata.errors import TooFewRuns
from metadata.features import OWN_NAMES, Names, describe, describe_task
from metadata.records import SUPERVISED, Configuration, Run, Task
from metadata.regret import failed_shares, mean_score, noise_of, regrets, scores_of
from metadata.relative import describe_alone, relative_key
from metadata.teaching import teaching


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """A pair that says nothing of which configuration is best, and why."""

    pair: str
    dataset: str
    model: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """Runs as arrays. Regret is NaN in pairs where it is not defined.

    Attributes:
        runs: All runs, ordered by id.
        rows: The runs of each row, N.
        tasks: One task of each pair, P; of its runs' devices the first.
        groups: Names of the folds of evaluation, one a dataset, sorted.
        keys: Relative keys, sorted; K.
        core_keys: Rows of `keys` that are core somewhere.
        X_NF: `features.describe` of each row on its own task.
        reference_NF: The same on the reference task: the configuration alone.
        task_PT: `features.describe_task` of each pair.
        score_N: Mean nats gained over the repeats that were scored, NaN where none was.
        regret_N: (best - score) / (best - median) in the pair, clipped to [0, 2]; a failed run 2.
            NaN too for runs beyond the core that only ran out of time or memory: that says
            nothing of quality, and costs are learnt apart.
        noise_P: Standard deviation of the scores of repeats.
        spread_P: Best less median score of the core.
        failed_N: Share of the repeats that failed by themselves, as by diverging; NaN where all ran
            out of time or memory.
        dropped: Pairs with core runs and without a regret.
        kinds: Method and optimizer of each row, N.
        names: Of the columns of `X_NF` and `task_PT`.
    """

    runs: tuple[Run, ...]
    rows: tuple[tuple[Run, ...], ...]
    tasks: tuple[Task, ...]
    groups: tuple[str, ...]
    keys: tuple[str, ...]
    core_keys: Integers
    X_NF: Floats
    reference_NF: Floats
    task_PT: Floats
    score_N: Floats
    regret_N: Floats
    pair_N: Integers
    key_N: Integers
    core_N: Booleans
    group_P: Integers
    noise_P: Floats
    spread_P: Floats
    failed_N: Floats
    dropped: tuple[Dropped, ...]
    kinds: tuple[tuple[str, ...], ...]
    names: Names = OWN_NAMES

    @property
    def row_groups(self) -> Integers:
        """Return the fold of each row."""
        return self.group_P[self.pair_N]

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        """Return the configuration of each row, N."""
        return tuple(row[0].configuration for row in self.rows)

    @cached_property
    def usable(self) -> Integers:
        """Return the pairs in which regret is defined."""
        return np.unique(self.pair_N[np.isfinite(self.regret_N)])

    @cached_property
    def core_regret(self) -> Floats:
        """Return the regret of each core configuration in each pair, NaN where it was not run."""
        regret_PK = np.full((len(self.group_P), len(self.keys)), np.nan)
        regret_PK[self.pair_N, self.key_N] = self.regret_N
        core: Floats = regret_PK[:, self.core_keys]
        return core

    @cached_property
    def core_rows(self) -> Integers:
        """Return the row of each core configuration in each pair, -1 where it was not run."""
        row_PK = np.full((len(self.group_P), len(self.keys)), -1)
        row_PK[self.pair_N, self.key_N] = np.arange(len(self.key_N))
        core: Integers = row_PK[:, self.core_keys]
        return core


def without_groups(table: Table, groups: Sequence[int]) -> Table:
    """Return a table without some datasets; groups and keys keep their numbers."""
    return of_pairs(table, ~np.isin(table.group_P, groups))


def of_pairs(table: Table, kept_P: Booleans) -> Table:
    """Return a table of some pairs alone; groups and keys keep their numbers.

    What was core on the other pairs only is core no longer.
    """
    kept_N = kept_P[table.pair_N]
    kept = set(np.flatnonzero(kept_P).tolist())
    number_P = np.cumsum(kept_P) - 1
    pairs = {task.pair for pair, task in enumerate(table.tasks) if pair in kept}
    return replace(
        table,
        runs=tuple(run for run in table.runs if run.task.pair in pairs),
        rows=_kept(table.rows, kept_N) if table.rows else (),
        kinds=_kept(table.kinds, kept_N),
        tasks=tuple(task for pair, task in enumerate(table.tasks) if pair in kept),
        X_NF=table.X_NF[kept_N],
        reference_NF=table.reference_NF[kept_N],
        task_PT=table.task_PT[kept_P],
        score_N=table.score_N[kept_N],
        failed_N=table.failed_N[kept_N],
        regret_N=table.regret_N[kept_N],
        pair_N=number_P[table.pair_N[kept_N]],
        key_N=table.key_N[kept_N],
        core_N=table.core_N[kept_N],
        core_keys=np.unique(table.key_N[kept_N & table.core_N]),
        group_P=table.group_P[kept_P],
        noise_P=table.noise_P[kept_P],
        spread_P=table.spread_P[kept_P],
    )


def _kept(values: Sequence[Any], kept_N: Booleans) -> tuple[Any, ...]:
    return tuple(value for value, keep in zip(values, kept_N, strict=True) if keep)


def kinds_of(configuration: Configuration) -> tuple[str, ...]:
    """Return the names of which some run must have been, or nothing can be said."""
    return configuration.method.name, configuration.optimizer.name


def build_table(runs: Iterable[Run]) -> Table:
    """Arrange supervised runs as arrays; the order they come in makes no difference.

    Runs of another objective are left out: their losses are not to be compared with these. So are
    imported ones that leave open what describes them.

    Raises:
        TooFewRuns: There is no supervised run at all.
    """
    supervised = (run for run in teaching(runs) if run.objective == SUPERVISED)
    ordered = tuple(sorted(supervised, key=lambda run: run.id))
    if not ordered:
        raise TooFewRuns(
            "A table needs at least one supervised run, got 0. "
            "Make some with `python -m training_worker campaign` or import them."
        )
    rows = _group_rows(ordered)
    pairs = sorted({row[0].task.pair for row in rows})
    pair_N = _index((row[0].task.pair for row in rows), pairs)
    tasks = _first_tasks(ordered, pairs)
    fold_of = _folds(tasks)
    groups = tuple(sorted(set(fold_of.values())))
    row_keys = [relative_key(row[0].configuration, row[0].task.model) for row in rows]
    keys = tuple(sorted(set(row_keys)))
    key_N = _index(row_keys, keys)
    core_N = np.array([any(run.core for run in row) for row in rows])
    core_keys = np.unique(key_N[core_N])
    score_N = np.array([mean_score(row) for row in rows])
    noise_P = noise_of([scores_of(row) for row in rows], pair_N, count=len(pairs))
    regret_N, spread_P, reasons = regrets(
        score_N, failed_shares(rows, core_N), pair_N, core_N, noise_P, core_count=len(core_keys)
    )
    return Table(
        runs=ordered,
        rows=rows,
        kinds=tuple(kinds_of(row[0].configuration) for row in rows),
        tasks=tasks,
        groups=groups,
        keys=keys,
        core_keys=core_keys,
        X_NF=_describe_rows(rows, pair_N, tasks),
        reference_NF=describe_alone(
            [row[0].configuration for row in rows], [row[0].task.model for row in rows]
        ),
        task_PT=np.array([describe_task(task) for task in tasks]),
        score_N=score_N,
        regret_N=regret_N,
        failed_N=failed_shares(rows, np.zeros(len(rows), dtype=bool)),
        pair_N=pair_N,
        key_N=key_N,
        core_N=core_N,
        group_P=_index((fold_of[task.dataset.group] for task in tasks), groups),
        noise_P=noise_P,
        spread_P=spread_P,
        dropped=tuple(
            Dropped(
                pair=pairs[pair],
                dataset=tasks[pair].dataset.name,
                model=tasks[pair].model.id,
                reason=reason,
            )
            for pair, reason in sorted(reasons.items())
        ),
    )


def _group_rows(runs: Sequence[Run]) -> tuple[tuple[Run, ...], ...]:
    rows: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        rows[run.task.pair, relative_key(run.configuration, run.task.model)].append(run)
    return tuple(tuple(row) for _, row in sorted(rows.items()))


def _index(names: Iterable[str], known: Sequence[str]) -> Integers:
    place = {name: index for index, name in enumerate(known)}
    return np.array([place[name] for name in names], dtype=np.int64)


def _folds(tasks: Sequence[Task]) -> dict[str, str]:
    """Return the fold of each group: groups that share data, whatever their names, are one."""
    fold_of = {task.dataset.group: task.dataset.group for task in tasks}
    first: dict[str, str] = {}
    for task in sorted(tasks, key=lambda task: task.dataset.group):
        mine = fold_of[task.dataset.group]
        known = fold_of[first.setdefault(task.dataset.sha256, task.dataset.group)]
        fold_of = {group: known if fold == mine else fold for group, fold in fold_of.items()}
    return fold_of


def _first_tasks(runs: Sequence[Run], pairs: Sequence[str]) -> tuple[Task, ...]:
    first = {run.task.pair: run.task for run in reversed(runs)}
    return tuple(first[pair] for pair in pairs)


def _describe_rows(
    rows: Sequence[Sequence[Run]], pair_N: Integers, tasks: Sequence[Task]
) -> Floats:
    parts = {}
    for pair, task in enumerate(tasks):
        members = np.flatnonzero(pair_N == pair)
        parts[pair] = describe(task, [rows[int(row)][0].configuration for row in members])
    X_NF = np.empty((len(rows), parts[0].shape[1]))
    for pair, part in parts.items():
        X_NF[pair_N == pair] = part
    return X_NF
