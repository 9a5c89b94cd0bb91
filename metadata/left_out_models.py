"""How much of what was learnt carries over to a base model that was never run.

Axes: G datasets, Q list lengths, P pairs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metadata.arrays import Booleans, Floats, Integers
from metadata.errors import TooFewRuns
from metadata.evaluation import DRAWS, OWN_RULES, TAIL, Spread
from metadata.held_out import Rule, fit_proven, make_round
from metadata.players import players
from metadata.surrogates.rehearsal import COUNTS
from metadata.surrogates.scenarios import group_means
from metadata.surrogates.transfer import Quality
from metadata.table import Table, of_pairs

SMALL_PARAMETERS = 1_200_000  # "up to a million", and the fifth more that a vocabulary can add
FOLDS = 8  # of the datasets
SMALLEST = 1e-9  # regret that a ratio is of
Left = Literal["dataset", "model", "largest"]
LARGEST = "learnt from base models of up to a million weights, played on the largest"
Learn = Callable[[Table, int], Quality]
Regrets = dict[str, list[Floats]]  # of each player, Q for each pair


def fit_proven_alone(table: Table, seed: int) -> Quality:
    """Fit quality as knowledge does."""
    return fit_proven(table, seed)[0]


@dataclass(frozen=True, kw_only=True)
class Carried:
    """Mean regret of the players by list length, on datasets left out.

    Attributes:
        known: With the base model known from other datasets.
        unknown: With all runs of the base model left out too.
        ratio: Ours at 1 with the model unknown over that with it known.
        pairs: How many were played.
    """

    known: Mapping[str, dict[int, float]]
    unknown: Mapping[str, dict[int, float]]
    ratio: Spread
    pairs: int


def left_out(table: Table, left: Left, *, seed: int = 0) -> dict[str, Any]:
    """Return the figures of `leave_models_out` or `leave_large_models_out`, as JSON has them."""
    if left == "largest":
        return {"regret": {LARGEST: leave_large_models_out(table, seed=seed)}}
    found = leave_models_out(table, seed=seed)
    return {
        "regret": {
            "dataset left out": found.known,
            "dataset and base model left out": found.unknown,
        },
        "ratio": vars(found.ratio),
        "pairs": found.pairs,
    }


def leave_models_out(
    table: Table,
    *,
    seed: int = 0,
    rules: Mapping[str, Rule] = OWN_RULES,
    learn: Learn = fit_proven_alone,
    draws: int = DRAWS,
) -> Carried:
    """Leave each base model out together with the dataset, and with the dataset alone beside it.

    Raises:
        TooFewRuns: There is only one base model, or too few datasets without one.
    """
    model_P = _models(table)
    if len(set(model_P)) < 2:
        raise TooFewRuns(
            "Leaving a base model out needs runs on at least two of them, got those on "
            f"{model_P[0]}. Run `python -m training_worker campaign` on another, or import runs."
        )
    known: Regrets = {}
    unknown: Regrets = {}
    groups: list[int] = []
    for held_P in _folds(table, seed=seed):
        with_model = learn(of_pairs(table, ~held_P), seed)
        for model in sorted(set(model_P[held_P])):
            pairs = _played(table, held_P & (model_P == model))
            without_model = learn(of_pairs(table, ~held_P & (model_P != model)), seed)
            _play(table, pairs, with_model, rules, known)
            _play(table, pairs, without_model, rules, unknown)
            groups += table.group_P[pairs].tolist()
    return _carried(known, unknown, np.array(groups), seed=seed, draws=draws)


def leave_large_models_out(
    table: Table,
    *,
    largest: int = SMALL_PARAMETERS,
    seed: int = 0,
    rules: Mapping[str, Rule] = OWN_RULES,
    learn: Learn = fit_proven_alone,
) -> dict[str, dict[int, float]]:
    """Learn from base models up to a size, play on the largest; datasets are left out too.

    Raises:
        TooFewRuns: No base model is larger, the largest has no core to compare, or too few datasets
            were run on the small ones.
    """
    parameters_P = np.array([task.model.parameters for task in table.tasks])
    small_P, asked_P = parameters_P <= largest, parameters_P == parameters_P.max()
    if small_P.all() or not small_P.any():
        raise TooFewRuns(
            f"Playing on a larger base model needs runs on base models below and above {largest:,} "
            f"weights, got {int(parameters_P.min()):,} to {int(parameters_P.max()):,}. Run on "
            "another, or import runs."
        )
    regrets: Regrets = {}
    for held_P in _folds(table, seed=seed):
        pairs = _played(table, held_P & asked_P)
        if pairs:
            small = learn(of_pairs(table, small_P & ~held_P), seed)
            _play(table, pairs, small, rules, regrets)
    if not regrets:
        raise TooFewRuns(
            "Playing on the largest base model needs a core of configurations run on it that tells "
            f"them apart, got none on its {int(asked_P.sum())} tasks. Run it, or import runs."
        )
    return _means(regrets)


def _models(table: Table) -> NDArray[np.str_]:
    return np.array([task.model.id for task in table.tasks])


def _folds(table: Table, *, seed: int) -> list[Booleans]:
    """Return the pairs of some of the datasets in turn."""
    groups = np.unique(table.group_P[table.usable])
    parts = np.array_split(np.random.default_rng(seed).permutation(groups), FOLDS)
    return [np.isin(table.group_P, part) for part in parts if len(part)]


def _played(table: Table, asked_P: Booleans) -> list[int]:
    return [int(pair) for pair in table.usable if asked_P[pair]]


def _play(
    table: Table,
    pairs: Sequence[int],
    quality: Quality,
    rules: Mapping[str, Rule],
    regrets: Regrets,
) -> None:
    """Add the regrets of all players on some pairs."""
    for pair in pairs:
        game = make_round(table, pair, quality, rules)
        for name, player in players(rules).items():
            regrets.setdefault(name, []).append(player(game, COUNTS))


def _carried(
    known: Regrets,
    unknown: Regrets,
    group_P: Integers,
    *,
    seed: int,
    draws: int,
) -> Carried:
    known_G, unknown_G = (
        group_means(np.array(one["ours"])[:, :1], group_P)[:, 0] for one in (known, unknown)
    )
    drawn_BG = np.random.default_rng(seed).integers(len(known_G), size=(draws, len(known_G)))
    ratio_B = unknown_G[drawn_BG].mean(axis=1) / np.maximum(
        known_G[drawn_BG].mean(axis=1), SMALLEST
    )
    low, high = np.quantile(ratio_B, (TAIL, 1.0 - TAIL))
    mean = float(unknown_G.mean() / max(known_G.mean(), SMALLEST))
    return Carried(
        known=_means(known),
        unknown=_means(unknown),
        ratio=Spread(mean=mean, low=float(low), high=float(high)),
        pairs=len(group_P),
    )


def _means(regrets: Regrets) -> dict[str, dict[int, float]]:
    return {
        name: dict(zip(COUNTS, np.mean(values, axis=0).tolist(), strict=True))
        for name, values in regrets.items()
    }
