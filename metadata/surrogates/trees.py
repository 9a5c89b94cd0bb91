"""Boosted trees over named features: fitted, asked, and read back from their own text.

Axes: N rows, F features, C candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import lightgbm
import numpy as np

from metadata.arrays import Floats
from metadata.features import FEATURES

PLACES = {name: column for column, name in enumerate(FEATURES)}
# Small trees that average over many rows: regrets are noisy, and datasets are few.
PARAMETERS = {
    "objective": "regression",
    "learning_rate": 0.08,
    "num_leaves": 8,
    "min_data_in_leaf": 10,
    "feature_fraction": 0.5,
    "lambda_l2": 5.0,
    "max_bin": 63,
    "num_threads": 1,  # predictions of a few hundred rows lose by threads, and services share
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


@dataclass(frozen=True, kw_only=True)
class Trees:
    """A fitted model and the columns it looks at."""

    booster: lightgbm.Booster
    columns: tuple[int, ...]

    @classmethod
    def restore(cls, text: str) -> "Trees":
        """Return the model that `text` was taken from; its features are of `FEATURES`."""
        booster = lightgbm.Booster(model_str=text)
        return cls(booster=booster, columns=tuple(PLACES[name] for name in booster.feature_name()))

    @property
    def text(self) -> str:
        """Return the model in LightGBM's own form."""
        return str(self.booster.model_to_string())

    def predict(self, X_NF: Floats) -> Floats:
        """Return the forecast of each row, N."""
        forecast = self.booster.predict(X_NF[:, self.columns], num_threads=1)
        return np.asarray(forecast, dtype=np.float64)


def boost(
    X_NF: Floats,
    target_N: Floats,
    weight_N: Floats,
    *,
    names: Sequence[str],
    trees: int,
    seed: int,
) -> Trees:
    """Fit boosted trees on features of some names, as they come back from their own text.

    They see the columns that vary, by name: an entry that no run tried changes nothing, and one
    that is added later moves no column.
    """
    varies_F = X_NF.min(axis=0) < X_NF.max(axis=0)
    columns = np.flatnonzero(varies_F) if varies_F.any() else np.array([0])
    data = lightgbm.Dataset(
        X_NF[:, columns],
        label=target_N,
        weight=weight_N,
        feature_name=[names[column] for column in columns],
    )
    booster = lightgbm.train({**PARAMETERS, "seed": seed}, data, num_boost_round=trees)
    restored = lightgbm.Booster(model_str=booster.model_to_string())
    return Trees(booster=restored, columns=tuple(columns.tolist()))


def mean_of(models: Sequence[Trees], X_CF: Floats) -> Floats:
    """Return the mean forecast of several models, C."""
    mean_C: Floats = np.mean([model.predict(X_CF) for model in models], axis=0)
    return mean_C
