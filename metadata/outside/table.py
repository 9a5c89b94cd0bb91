"""A table of another make as the engine's own kind of table: each task is a fold.

Axes: M runs, N rows (a configuration on a task, repeats together), P tasks, K configurations,
F features.
"""

from pathlib import Path

import numpy as np

from metadata.arrays import Booleans, Floats, Integers
from metadata.errors import TooFewRuns
from metadata.features import Names
from metadata.outside.columns import features_of
from metadata.outside.reading import Column, Ended, read_ended
from metadata.regret import noise_of, regrets
from metadata.surrogates.portfolio import MINIMUM_DATASETS
from metadata.table import Dropped, Table

NO_FEATURE = "nothing"  # stands where a table says nothing of its tasks


def read_table(path: Path) -> Table:
    """Read a table of another make.

    Configurations that were run on at least four tasks are the core; all others only train.

    Raises:
        InvalidRequest: The file is no such table; the message names the column.
        TooFewRuns: Too few tasks share configurations.
    """
    return table_of(read_ended(path))


def table_of(ended: Ended) -> Table:
    """Arrange the runs of a table of another make as arrays."""
    key_M, keys = _configurations(ended.configs)
    pair_key_N, row_M = np.unique(
        np.stack([ended.task_M, key_M], axis=1), axis=0, return_inverse=True
    )
    pair_N, key_N = pair_key_N[:, 0], pair_key_N[:, 1]
    first_N = np.unique(row_M, return_index=True)[1]
    scores = _scores(ended.score_M, row_M, count=len(pair_N))
    core_N = (np.bincount(key_N) >= MINIMUM_DATASETS)[key_N]
    _check(core_N, tasks=len(ended.tasks))
    noise_P = noise_of(scores, pair_N, count=len(ended.tasks))
    failed_N = _failed(scores, row_M)
    score_N = np.array([np.mean(one) if len(one) else np.nan for one in scores])
    regret_N, spread_P, reasons = regrets(score_N, failed_N, pair_N, core_N, noise_P, core_count=0)
    config_names, config_MF = features_of(ended.configs)
    task_names, task_PT = _tasks(ended)
    apart_NF = np.hstack([np.zeros((len(pair_N), len(task_names))), config_MF[first_N]])
    X_NF = np.hstack([task_PT[pair_N], config_MF[first_N]])
    return Table(
        runs=(),
        rows=(),
        tasks=(),
        groups=ended.tasks,
        keys=keys,
        core_keys=np.unique(key_N[core_N]),
        X_NF=X_NF,
        reference_NF=apart_NF,
        task_PT=task_PT,
        score_N=score_N,
        regret_N=regret_N,
        failed_N=failed_N,
        pair_N=pair_N,
        key_N=key_N,
        core_N=core_N,
        group_P=np.arange(len(ended.tasks)),
        noise_P=noise_P,
        spread_P=spread_P,
        dropped=_dropped(ended, reasons),
        kinds=((),) * len(pair_N),
        names=_names(task_names, config_names),
    )


def _configurations(columns: tuple[Column, ...]) -> tuple[Integers, tuple[str, ...]]:
    """Return the configuration of each run by its values, whatever its id, and their names."""
    values = [
        column.number_M.tolist() if column.texts_M is None else column.texts_M for column in columns
    ]
    names_M = np.array([repr(one) for one in zip(*values, strict=True)], dtype=object)
    keys, key_M = np.unique(names_M, return_inverse=True)
    return key_M, tuple(keys.tolist())


def _scores(score_M: Floats, row_M: Integers, *, count: int) -> list[list[float]]:
    scores: list[list[float]] = [[] for _ in range(count)]
    for row, score in zip(row_M, score_M, strict=True):
        if np.isfinite(score):
            scores[row].append(float(score))
    return scores


def _failed(scores: list[list[float]], row_M: Integers) -> Floats:
    tried_N = np.bincount(row_M, minlength=len(scores))
    failed_N: Floats = 1.0 - np.array([len(one) for one in scores]) / tried_N
    return failed_N


def _check(core_N: Booleans, *, tasks: int) -> None:
    if not core_N.any():
        raise TooFewRuns(
            f"A table needs configurations that were run on at least {MINIMUM_DATASETS} tasks, got "
            f"none among {tasks} tasks. Run some configurations on all tasks."
        )


def _tasks(ended: Ended) -> tuple[tuple[str, ...], Floats]:
    """Return names and values, P x F, of what describes the tasks; one of nothing at least."""
    first_P = np.unique(ended.task_M, return_index=True)[1]
    names, values_PF = features_of(
        [Column(name=one.name, number_M=one.number_M[first_P]) for one in ended.features]
    )
    return (names, values_PF) if names else ((NO_FEATURE,), np.zeros((len(first_P), 1)))


def _names(task: tuple[str, ...], config: tuple[str, ...]) -> Names:
    """Return names that LightGBM takes, by number, and those of the tasks as they are."""
    return Names(all=tuple(f"f{n}" for n in range(len(task) + len(config))), of_task=task)


def _dropped(ended: Ended, reasons: dict[int, str]) -> tuple[Dropped, ...]:
    names = ended.tasks
    return tuple(
        Dropped(pair=names[pair], dataset=names[pair], model="the table's", reason=reason)
        for pair, reason in sorted(reasons.items())
    )
