"""Is there something to learn from the meta-dataset, and how much of it carries over?

    python benchmarks/meta_dataset.py [--runs FILE] [--output FILE]

FILE is a Parquet file of runs, the shipped ones by default. Candidates are the core of each pair;
regret is 0 for the best allowed one and 1 for the median one. Printed is, over leaving one dataset
out, the regret of one run by the best average, by the greedy portfolio and by a plain LightGBM, for
each kind of question (`metadata.kinds`): all allowed ("free"), PEFT methods only, and the half of
each pair's runs that took the least memory or time. Beside them that of a picker who knows the
pair, who chooses by one seed among what has two and is scored by the other. Then what share of the
variance of regret lies in the configuration alone, and how alike datasets are.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from scipy.stats import spearmanr

from metadata.arrays import Booleans, Floats, Integers
from metadata.kinds import KINDS, Kind, restrict
from metadata.regret import WORST_REGRET
from metadata.runs_file import SHIPPED_RUNS, read_runs
from metadata.surrogates.scenarios import balance, fill, greedy
from metadata.table import Table, build_table

SETTINGS: dict[str, Any] = {
    "num_leaves": 15,
    "n_estimators": 200,
    "learning_rate": 0.05,
    "n_jobs": 1,
}
FIRST_SEED, SECOND_SEED = 0, 1


@dataclass(frozen=True)
class Game:
    """The core of the usable pairs: P pairs, K configurations, NaN where one is not allowed.

    Attributes:
        regret_PK: Of the mean score of all seeds.
        first_PK, second_PK: Of one seed alone, on the same scale.
        X_PKF: What describes each configuration on its pair.
        group_P: The fold of each pair.
    """

    regret_PK: Floats
    first_PK: Floats
    second_PK: Floats
    X_PKF: Floats
    group_P: Integers


def game_of(table: Table, kind: Kind) -> Game:
    """Return the core of the usable pairs as arrays, what a kind of question forbids left out."""
    kept = restrict(table, kind)
    pairs, rows_PK = kept.usable, kept.core_rows[kept.usable]
    regret_PK = np.where(rows_PK >= 0, kept.regret_N[rows_PK], np.nan)
    score_PK = np.where(np.isfinite(regret_PK), kept.score_N[rows_PK], np.nan)
    best_P, spread_P = np.nanmax(score_PK, axis=1), kept.spread_P[pairs]
    first_PK, second_PK = (_of_seed(kept, rows_PK, seed) for seed in (FIRST_SEED, SECOND_SEED))
    return Game(
        regret_PK=regret_PK,
        first_PK=np.where(np.isfinite(regret_PK), first_PK, np.nan),
        second_PK=np.clip((best_P - second_PK.T) / spread_P, 0.0, WORST_REGRET).T,
        X_PKF=kept.X_NF[rows_PK],
        group_P=kept.group_P[pairs],
    )


def _of_seed(table: Table, rows_PK: Integers, seed: int) -> Floats:
    """Return the score of one seed, NaN where it was not run or has none."""
    score_N = np.full(len(table.rows), np.nan)
    for row, runs in enumerate(table.rows):
        for run in runs:
            if run.configuration.seed == seed and run.score is not None:
                score_N[row] = run.score
    return np.where(rows_PK >= 0, score_N[rows_PK], np.nan)


def first_picks(game: Game) -> dict[str, float]:
    """Return the regret of one run by each player, the mean over datasets left out."""
    told: dict[str, list[float]] = {}
    for group in np.unique(game.group_P):
        held, known = game.group_P == group, game.group_P != group
        weight_T = balance(game.group_P[known])
        filled_TK = fill(game.regret_PK[known], weight_T)
        players = {
            "best average": np.argsort(weight_T @ filled_TK, kind="stable"),
            "portfolio": greedy(filled_TK, weight_T, count=filled_TK.shape[1]),
        }
        for name, order in players.items():
            told.setdefault(name, []).append(
                _mean(_first(row, order) for row in game.regret_PK[held])
            )
        told.setdefault("LightGBM", []).append(_learnt(game, known, held))
        told.setdefault("knows the pair", []).append(_mean(_known(game, held)))
    return {name: _mean(values) for name, values in told.items()}


def _first(regret_K: Floats, order: Integers) -> float:
    """Return the regret of the first of an order that is allowed."""
    return float(next(regret_K[k] for k in order if np.isfinite(regret_K[k])))


def _learnt(game: Game, known: Booleans, held: Booleans) -> float:
    finite = np.isfinite(game.regret_PK[known])
    model = lightgbm.LGBMRegressor(**SETTINGS, verbose=-1, random_state=0)
    model.fit(game.X_PKF[known][finite], game.regret_PK[known][finite])
    picked = []
    for X_KF, regret_K in zip(game.X_PKF[held], game.regret_PK[held], strict=True):
        said_K = np.where(np.isfinite(regret_K), model.predict(X_KF), np.inf)
        picked.append(float(regret_K[int(np.argmin(said_K))]))
    return _mean(picked)


def _known(game: Game, held: Booleans) -> list[float]:
    """Choose by the first seed among what has a second, and score by that."""
    found = []
    for first_K, second_K in zip(game.first_PK[held], game.second_PK[held], strict=True):
        both_K = np.isfinite(first_K) & np.isfinite(second_K)
        if both_K.any():
            found.append(float(second_K[int(np.argmax(np.where(both_K, first_K, -np.inf)))]))
    return found


def _mean(values: Any) -> float:
    found = [value for value in values if np.isfinite(value)]
    return float(np.mean(found)) if found else float("nan")


def shares(game: Game) -> dict[str, float]:
    """Return what share of the variance of regret a configuration's mean explains, and likeness."""
    regret_PK = game.regret_PK[:, np.isfinite(game.regret_PK).any(axis=0)]
    complete = np.isfinite(regret_PK)
    mean_K = np.nanmean(regret_PK, axis=0)
    left = np.where(complete, regret_PK - mean_K, np.nan)
    names = np.unique(game.group_P)
    means = np.array([np.nanmean(regret_PK[game.group_P == name], axis=0) for name in names])
    alike = spearmanr(means, axis=1, nan_policy="omit").statistic
    above = np.asarray(alike)[np.triu_indices(len(names), k=1)]
    return {
        "of the variance lies in the configuration alone": float(
            1 - np.nanvar(left) / np.nanvar(regret_PK)
        ),
        "is the mean rank correlation between two datasets": float(np.mean(above)),
        "of pairs have another best configuration than the best average": float(
            np.mean(np.nanargmin(regret_PK, axis=1) != np.argmin(mean_K))
        ),
    }


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=SHIPPED_RUNS)
    parser.add_argument("--output", type=Path, help="the figures as JSON")
    options = parser.parse_args()
    table = build_table(read_runs(options.runs))
    told: dict[str, Any] = {}
    for kind in KINDS:
        told[kind] = first_picks(game_of(table, kind))
    told["shares"] = shares(game_of(table, "peft"))
    groups = len(np.unique(table.group_P[table.usable]))
    print(f"{len(table.runs)} runs, {len(table.usable)} pairs of {groups} folds\n")
    players = list(told["free"])
    print(f"{'regret of one run':28}" + "".join(f"{player:>16}" for player in players))
    for kind in KINDS:
        print(f"{kind:28}" + "".join(f"{told[kind][player]:>16.3f}" for player in players))
    print()
    for name, share in told["shares"].items():
        print(f"{share:6.2f} {name}")
    if options.output:
        options.output.write_text(json.dumps(told, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
