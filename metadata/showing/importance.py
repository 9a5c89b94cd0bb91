"""Which knobs of a configuration matter, measured by what forecasts lose without them.

Gradient-boosted trees (LightGBM) forecast the place from the configuration; a knob's importance
is by how much the squared error on configurations left out grows when its values are shuffled
among them, as a share of the variance of the places (permutation importance: Breiman, 2001).
Values of a method are shuffled among runs of that method. `method.name` is shuffled together with
the method's values, which mean nothing beside another method; so are optimizer and schedule.

Scores are compared within a task alone (same base model, data, objective and source), by the place
of a run among the others there: one run that diverged would drown what the rest say. What matters
on one dataset only is seen in that dataset's own figures. Knobs that always move together share
their importance.

Axes: N runs, K knobs, T runs that were left out, M knobs shuffled together, R rows that differ.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import lightgbm
import numpy as np
from scipy.stats import rankdata
from sklearn.model_selection import GroupKFold

from metadata.arrays import Floats, Integers
from metadata.browsing import Browser, View
from metadata.errors import TooFewRuns
from metadata.exporting import configurations
from metadata.showing.knobs import alike, encoded, knob_values, moved_with

MINIMUM_RUNS = 30  # scored ones: below, nothing is said
RELIABLE_RUNS = 100  # below, what is said is called rough
MOST_RUNS = 4_000  # that are learnt from; of more, so many are drawn
MOST_DATASETS = 12  # looked at apart, those of most runs
FOLDS, SHUFFLES, TREES = 5, 5, 150


@dataclass(frozen=True, kw_only=True)
class Knob:
    """A knob and the share of the variance that is lost with it; `spread` is over the folds."""

    name: str
    importance: float
    spread: float
    values: int
    runs: int


@dataclass(frozen=True, kw_only=True)
class Importance:
    """The knobs, the most important first.

    `explained` is the share of variance that forecasts of runs left out explain: where it is near
    0 or below, no knob can be seen to matter. `dataset` is None over all.
    """

    dataset: str | None
    runs: int
    drawn_from: int
    explained: float
    knobs: tuple[Knob, ...]
    advice: str


@dataclass(frozen=True)
class _Scored:
    run_id: str
    key: str
    task: tuple[str, ...]
    dataset: str
    score: float
    values: Mapping[str, Any]


def importance(browser: Browser, view: View, *, by_dataset: bool = False) -> tuple[Importance, ...]:
    """Return the importance of each knob over the runs of a view, then of each dataset's own.

    Args:
        browser: Looks at the runs.
        view: Which runs; those without a score say nothing.
        by_dataset: Look at the datasets of most runs apart too; those of too few are left out.

    Raises:
        BadFilter: The view cannot be read.
        TooFewRuns: Fewer than 30 scored runs differ in their configuration within tasks.
    """
    rng = np.random.default_rng(0)
    every = sorted(_scored(browser, view), key=lambda run: run.run_id)  # so that draws repeat
    found = [_importance(every, rng, dataset=None)]
    if by_dataset:
        groups: dict[str, list[_Scored]] = defaultdict(list)
        for run in every:
            groups[run.dataset].append(run)
        largest = sorted(groups, key=lambda name: (-len(groups[name]), name))[:MOST_DATASETS]
        enough = [name for name in largest if _is_enough(_telling(groups[name]))]
        found += [_importance(groups[name], rng, dataset=name) for name in enough]
    return tuple(found)


def _scored(browser: Browser, view: View) -> Iterator[_Scored]:
    names = ("id", "score", "configuration_key", "dataset_group", "pair", "origin_source")
    rows = configurations(browser, view, (*names, "objective"))
    for configuration, run_id, score, key, dataset, pair, source, objective in rows:
        if score is not None:
            task = (pair, source, repr(sorted(objective.items())))
            yield _Scored(run_id, key, task, dataset, score, dict(knob_values(configuration)))


def _telling(runs: Sequence[_Scored]) -> list[_Scored]:
    """Return the runs of tasks on which several configurations were scored."""
    keys: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for run in runs:
        keys[run.task].add(run.key)
    return [run for run in runs if len(keys[run.task]) > 1]


def _is_enough(telling: Sequence[_Scored]) -> bool:
    return len(telling) >= MINIMUM_RUNS and len({run.key for run in telling}) >= 2 * FOLDS


def _importance(
    runs: Sequence[_Scored], rng: np.random.Generator, *, dataset: str | None
) -> Importance:
    telling = _telling(runs)
    if not _is_enough(telling):
        raise TooFewRuns(
            f"The importance of knobs needs {MINIMUM_RUNS} scored runs, of {2 * FOLDS} or more "
            f"configurations on tasks that share several, got {len(telling)}. Widen the filter."
        )
    drawn = telling
    if len(telling) > MOST_RUNS:
        chosen = np.sort(rng.choice(len(telling), MOST_RUNS, replace=False))
        drawn = [telling[int(place)] for place in chosen]
    y_N = _places(drawn)
    names, X_NK, categories = encoded([run.values for run in drawn])
    keys = sorted({run.key for run in drawn})
    place = {key: number for number, key in enumerate(keys)}
    keys_N = np.array([place[run.key] for run in drawn])
    shares_FK, explained = _losses(names, X_NK, categories, y_N, keys_N)
    return Importance(
        dataset=dataset,
        runs=len(drawn),
        drawn_from=len(telling),
        explained=explained,
        knobs=_ranked(names, X_NK, shares_FK),
        advice=_advice(len(drawn), explained),
    )


def _places(runs: Sequence[_Scored]) -> Floats:
    """Return the place of each run among those of its task, 0 the worst and 1 the best."""
    members: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, run in enumerate(runs):
        members[run.task].append(number)
    y_N = np.empty(len(runs))
    for rows in members.values():
        ranks = rankdata([runs[row].score for row in rows])
        y_N[rows] = (ranks - 0.5) / len(rows)
    return y_N


def _losses(
    names: Sequence[str], X_NK: Floats, categories: list[int], y_N: Floats, keys_N: Integers
) -> tuple[Floats, float]:
    """Return how much each knob's absence costs in each fold, and what is explained with all.

    Both are shares of the variance. Each configuration counts alike, however often it was run: a
    few that were run everywhere would else be all that is learnt.
    """
    rng = np.random.default_rng(0)
    weight_N = 1.0 / np.bincount(keys_N)[keys_N]
    variance = float(np.average((y_N - np.average(y_N, weights=weight_N)) ** 2, weights=weight_N))
    lost, errors = [], []
    for train, test in GroupKFold(FOLDS).split(X_NK, y_N, keys_N):
        model = _fit(X_NK[train], y_N[train], weight_N[train], categories)
        held = _Held(model, X_NK[test], y_N[test], weight_N[test])
        errors.append(held.error)
        lost.append([_shuffled_error(held, knob, names, rng) - held.error for knob in names])
    scale = variance or 1.0
    return np.array(lost) / scale, 1.0 - float(np.mean(errors)) / scale


@dataclass(frozen=True)
class _Held:
    """What was left out, and the forecast of it."""

    model: Any
    X_TK: Floats
    y_T: Floats
    weight_T: Floats

    @cached_property
    def error(self) -> float:
        """Return the mean squared error."""
        return self._mean(self._squares)

    def error_with(self, knobs_M: Integers, values_TM: Floats) -> float:
        """Return it with other values of some knobs; only rows that differ are forecast anew."""
        known_TM = self.X_TK[:, knobs_M]
        same_TM = (values_TM == known_TM) | (np.isnan(values_TM) & np.isnan(known_TM))
        rows_R = np.flatnonzero(~same_TM.all(axis=1))
        if not rows_R.size:
            return self.error
        X_RK = self.X_TK[rows_R]
        X_RK[:, knobs_M] = values_TM[rows_R]
        squares_T = self._squares.copy()
        squares_T[rows_R] = (self.model.predict(X_RK) - self.y_T[rows_R]) ** 2
        return self._mean(squares_T)

    @cached_property
    def _squares(self) -> Floats:
        squares_T: Floats = (self.model.predict(self.X_TK) - self.y_T) ** 2
        return squares_T

    def _mean(self, squares_T: Floats) -> float:
        return float(np.average(squares_T, weights=self.weight_T))


def _fit(X_NK: Floats, y_N: Floats, weight_N: Floats, categories: list[int]) -> Any:
    smallest = max(3, min(10, len(y_N) // 10))
    settings = {
        "objective": "regression",
        "num_leaves": 7,
        "learning_rate": 0.05,
        "feature_fraction": 0.7,
        "min_data_in_leaf": smallest,
        "min_data_per_group": smallest,
        "cat_smooth": 1.0,
        "num_threads": 1,
        "deterministic": True,
        "seed": 0,
        "verbose": -1,
    }
    data = lightgbm.Dataset(X_NK, y_N, weight=weight_N, categorical_feature=categories)
    return lightgbm.train(settings, data, num_boost_round=TREES)


def _shuffled_error(
    held: _Held, knob: str, names: Sequence[str], rng: np.random.Generator
) -> float:
    together = moved_with(knob, names)
    moved_M = np.array([number for number, name in enumerate(names) if name in together])
    parts = alike(held.X_TK, knob, names)
    errors = []
    for _ in range(SHUFFLES):
        values_TM = held.X_TK[:, moved_M]
        for rows in parts:
            values_TM[rows] = held.X_TK[np.ix_(rng.permutation(rows), moved_M)]
        errors.append(held.error_with(moved_M, values_TM))
    return float(np.mean(errors))


def _ranked(names: Sequence[str], X_NK: Floats, shares_FK: Floats) -> tuple[Knob, ...]:
    knobs = [
        Knob(
            name=name,
            importance=float(np.mean(shares_FK[:, number])),
            spread=float(np.std(shares_FK[:, number])),
            values=len(np.unique(X_NK[np.isfinite(X_NK[:, number]), number])),
            runs=int(np.isfinite(X_NK[:, number]).sum()),
        )
        for number, name in enumerate(names)
    ]
    return tuple(sorted(knobs, key=lambda knob: (-knob.importance, knob.name)))


def _advice(runs: int, explained: float) -> str:
    if explained < 0.1:
        return (
            f"From {runs:,} runs the score cannot be told by the configuration "
            f"(explained: {max(explained, 0):.0%}): take no knob's figure as more than chance."
        )
    if runs < RELIABLE_RUNS:
        return f"{runs:,} runs are few: only large differences between knobs mean something."
    return ""
