"""Past runs as arrays: what they scored, how far that is from the best, and what describes them.

A *row* is one configuration on one pair (base model and data), its repeats averaged. Two
configurations are the same, on different base models too, where all choices that carry over are:
the learning rate as a multiple of the usual one, and nothing that only suits data or device.

Axes: N rows, P pairs, K configurations by relative key, F features, T task features.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import isfinite, log2

import numpy as np
from numpy.typing import NDArray

from metadata.errors import TooFewRuns
from metadata.features import describe, describe_task
from metadata.methods import METHODS
from metadata.priors import carry_over, rate_ratio
from metadata.records import (
    Configuration,
    DatasetProfile,
    Device,
    Lengths,
    ModelProfile,
    Run,
    Scalar,
    Task,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

WORST_REGRET = 2.0  # also of a run that failed or went over its budget
NOISES = 4.0  # the best must exceed the median by so many standard deviations of repeats
MINIMUM_CORE = 5  # scored core configurations, fewer give no median worth the name
LIMITED_STATES = ("timed_out", "out_of_memory")  # by what was granted, not by the configuration
CORE_SHARE = 0.8  # of the core must have been tried on a pair that is to be compared with others
DIGITS = 9  # of features: carrying a rate over and back must not tell configurations apart
RATE_STEPS = 32  # steps of a doubling, 2 % each: rates nearer than that count as one

# What configurations are described on when the task must not matter: any fixed task would do.
_USUAL_LENGTHS = Lengths(mean=200, p50=180, p90=400, p99=800, max=1000)
REFERENCE = Task(
    model=ModelProfile(
        id="reference",
        family="llama",
        parameters=1_000_000_000,
        layers=16,
        hidden_size=2048,
        heads=32,
        key_value_heads=8,
        head_size=64,
        mlp_width=8192,
        vocabulary=32_000,
        context_tokens=4096,
        tied_embeddings=True,
    ),
    dataset=DatasetProfile(
        name="reference",
        group="reference",
        sha256="0" * 64,
        kind="generation",
        examples=1000,
        prompt_bytes=_USUAL_LENGTHS,
        completion_bytes=_USUAL_LENGTHS,
        distinct_words=5000,
        repeated_word_fraction=0.8,
        distinct_completions=1000,
        completion_entropy_bits=9.0,
        duplicate_fraction=0.0,
        compression_ratio=0.4,
    ),
    device=Device(
        name="reference",
        kind="cuda",
        memory_bytes=80 * 2**30,
        bf16_tflops=300,
        bandwidth_gb_per_second=2000,
        launch_microseconds=10,
    ),
)


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
        dropped: Pairs with core runs and without a regret.
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
    dropped: tuple[Dropped, ...]

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
        regret_PK = np.full((len(self.tasks), len(self.keys)), np.nan)
        regret_PK[self.pair_N, self.key_N] = self.regret_N
        core: Floats = regret_PK[:, self.core_keys]
        return core

    @cached_property
    def core_rows(self) -> Integers:
        """Return the row of each core configuration in each pair, -1 where it was not run."""
        row_PK = np.full((len(self.tasks), len(self.keys)), -1)
        row_PK[self.pair_N, self.key_N] = np.arange(len(self.rows))
        core: Integers = row_PK[:, self.core_keys]
        return core


def without_groups(table: Table, groups: Sequence[int]) -> Table:
    """Return a table without some datasets; groups and keys keep their numbers."""
    kept_P = ~np.isin(table.group_P, groups)
    kept_N = kept_P[table.pair_N]
    kept = set(np.flatnonzero(kept_P).tolist())
    number_P = np.cumsum(kept_P) - 1
    left = {table.groups[group] for group in groups}
    return replace(
        table,
        runs=tuple(run for run in table.runs if run.task.dataset.group not in left),
        rows=tuple(row for row, keep in zip(table.rows, kept_N, strict=True) if keep),
        tasks=tuple(task for pair, task in enumerate(table.tasks) if pair in kept),
        X_NF=table.X_NF[kept_N],
        reference_NF=table.reference_NF[kept_N],
        task_PT=table.task_PT[kept_P],
        score_N=table.score_N[kept_N],
        regret_N=table.regret_N[kept_N],
        pair_N=number_P[table.pair_N[kept_N]],
        key_N=table.key_N[kept_N],
        core_N=table.core_N[kept_N],
        group_P=table.group_P[kept_P],
        noise_P=table.noise_P[kept_P],
        spread_P=table.spread_P[kept_P],
    )


def relative_key(configuration: Configuration, model: ModelProfile) -> str:
    """Name the choices of a configuration that carry over to another base model.

    Left out is what only suits data and device: seed, length, loss, precision, checkpointing.
    """
    method, optimizer, schedule = (
        configuration.method,
        configuration.optimizer,
        configuration.schedule,
    )
    ratio = rate_ratio(configuration, model)
    targeted = METHODS[method.name].uses_target_modules
    choices = (
        *(method.name, *_values(method.values)),
        configuration.target_modules if targeted else "",
        *(optimizer.name, *_values(optimizer.values), _plain(optimizer.weight_decay)),
        round(RATE_STEPS * log2(ratio)),
        *(schedule.name, *_values(schedule.values), _plain(schedule.warmup_fraction)),
        *(configuration.batch_size, _plain(configuration.epochs)),
        *(configuration.quantization, configuration.packing, configuration.keep),
    )
    return hashlib.sha256(repr(choices).encode()).hexdigest()[:16]


def _values(values: Mapping[str, Scalar]) -> list[tuple[str, str]]:
    return [(name, _plain(value)) for name, value in sorted(values.items())]


def _plain(value: Scalar) -> str:
    """Return a value as text, a number the same whether it came as 0 or 0.0."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:.6g}" if is_number else str(value)


def describe_alone(
    configurations: Sequence[Configuration], models: Iterable[ModelProfile]
) -> Floats:
    """Return features of configurations apart from any task: on the reference task, C x F."""
    carried = [
        carry_over(configuration, known=model, new=REFERENCE.model)
        for configuration, model in zip(configurations, models, strict=True)
    ]
    return np.round(describe(REFERENCE, carried), DIGITS)


def build_table(runs: Iterable[Run]) -> Table:
    """Arrange runs as arrays; the order they come in makes no difference.

    Raises:
        TooFewRuns: There is no run at all.
    """
    ordered = tuple(sorted(runs, key=lambda run: run.id))
    if not ordered:
        raise TooFewRuns(
            "A table needs at least one run, got 0. "
            "Make some with `python -m training_worker campaign` or import them."
        )
    rows = _group_rows(ordered)
    pairs = sorted({row[0].task.pair for row in rows})
    pair_N = _index((row[0].task.pair for row in rows), pairs)
    tasks = _first_tasks(ordered, pairs)
    groups = tuple(sorted({task.dataset.group for task in tasks}))
    row_keys = [relative_key(row[0].configuration, row[0].task.model) for row in rows]
    keys = tuple(sorted(set(row_keys)))
    key_N = _index(row_keys, keys)
    core_N = np.array([any(run.core for run in row) for row in rows])
    core_keys = np.unique(key_N[core_N])
    score_N = np.array([_mean_score(row) for row in rows])
    noise_P = _noise(rows, pair_N, count=len(pairs))
    regret_N, spread_P, reasons = _regrets(
        score_N, _failed_shares(rows, core_N), pair_N, core_N, noise_P, core_count=len(core_keys)
    )
    return Table(
        runs=ordered,
        rows=rows,
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
        pair_N=pair_N,
        key_N=key_N,
        core_N=core_N,
        group_P=_index((task.dataset.group for task in tasks), groups),
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


def _first_tasks(runs: Sequence[Run], pairs: Sequence[str]) -> tuple[Task, ...]:
    first = {run.task.pair: run.task for run in reversed(runs)}
    return tuple(first[pair] for pair in pairs)


def _scores(row: Sequence[Run]) -> list[float]:
    return [
        run.score
        for run in row
        if run.state == "succeeded" and run.score is not None and isfinite(run.score)
    ]


def _mean_score(row: Sequence[Run]) -> float:
    scores = _scores(row)
    return float(np.mean(scores)) if scores else float("nan")


def _failed_shares(rows: Sequence[Sequence[Run]], core_N: Booleans) -> Floats:
    """Return the share of each row's runs that failed, NaN where none says anything."""
    shares = []
    for row, core in zip(rows, core_N, strict=True):
        telling = [run for run in row if core or run.state not in LIMITED_STATES]
        shares.append(1.0 - len(_scores(row)) / len(telling) if telling else float("nan"))
    return np.array(shares)


def _noise(rows: Sequence[Sequence[Run]], pair_N: Integers, *, count: int) -> Floats:
    """Return the standard deviation of repeats in each pair; the usual one where there are few."""
    squares_P, degrees_P = np.zeros(count), np.zeros(count)
    for row, pair in zip(rows, pair_N, strict=True):
        scores = _scores(row)
        if len(scores) > 1:
            squares_P[pair] += float(np.var(scores)) * len(scores)
            degrees_P[pair] += len(scores) - 1
    noise_P = np.sqrt(squares_P / np.maximum(degrees_P, 1))
    known_P = degrees_P >= 3  # below, chance equality of two repeats would pass for precision
    usual = float(np.median(noise_P[known_P])) if known_P.any() else 0.0
    return np.where(known_P, noise_P, np.maximum(noise_P, usual))


def _regrets(
    score_N: Floats,
    failed_N: Floats,
    pair_N: Integers,
    core_N: Booleans,
    noise_P: Floats,
    *,
    core_count: int,
) -> tuple[Floats, Floats, dict[int, str]]:
    regret_N = np.full(len(score_N), np.nan)
    spread_P = np.full(len(noise_P), np.nan)
    reasons: dict[int, str] = {}
    for pair, noise in enumerate(noise_P):
        rows = np.flatnonzero(pair_N == pair)
        core = rows[core_N[rows]]
        if len(core) == 0:
            continue  # runs of users: evidence of cost, and of what was tried, but of no regret
        scores = score_N[core][np.isfinite(score_N[core])]
        reason = _why_dropped(scores, noise, tried=len(core), core_count=core_count)
        if reason:
            reasons[pair] = reason
            continue
        spread_P[pair] = scores.max() - np.median(scores)
        distance = np.clip((scores.max() - score_N[rows]) / spread_P[pair], 0.0, WORST_REGRET)
        succeeded = np.where(np.isfinite(distance), distance, WORST_REGRET)
        regret_N[rows] = failed_N[rows] * WORST_REGRET + (1.0 - failed_N[rows]) * succeeded
    return regret_N, spread_P, reasons


def _why_dropped(scores: Floats, noise: float, *, tried: int, core_count: int) -> str:
    if tried < CORE_SHARE * core_count:
        return f"only {tried} of {core_count} core configurations were run"
    if len(scores) < MINIMUM_CORE:
        return f"only {len(scores)} core configurations have a score, {MINIMUM_CORE} are needed"
    spread = float(scores.max() - np.median(scores))
    if spread <= NOISES * noise or spread <= 0:
        return (
            f"the best exceeds the median by {spread:.3g} nats per token, less than "
            f"{NOISES:g} times the {noise:.3g} of repeats"
        )
    return ""


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
