"""How well is the best of several models told from small runs, and how far off is its loss?

    python benchmarks/model_outlook.py --runs FOLDER

FOLDER holds finetuning_scaling_law/*.csv: the test loss of 30 models at 14 training sizes. From
the sizes up to a limit the loss at the largest size is forecast, and the model with the least is
picked. Printed are the relative error (median, and that of nine in ten), the share of 90 %
intervals that hold, and the regret of the pick in nats, beside those of the best at the largest
size seen, and of the largest model.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from published_laws import DOUBTFUL

from metadata.model_outlook import Observed, Outlook, outlook

LIMITS = (800, 3_200, 12_800, 51_200)
HOW_MANY = (1, 2, 3, 5, 7)


@dataclass(frozen=True)
class Model:
    """One row of a table."""

    name: str
    parameters: float
    losses: dict[int, float]


def models_of(path: Path) -> list[Model]:
    """Return the models of a table that are to be leant on."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        Model(
            row["config name"],
            float(row["size"]),
            {int(key): float(row[key]) for key in row if key.isdigit() and int(key) > 0},
        )
        for row in rows
        if (path.stem, row["config name"]) not in DOUBTFUL
    ]


def forecast(model: Model, *, limit: int, count: int) -> Outlook | None:
    """Forecast the loss at the largest size from the `count` largest sizes up to a limit."""
    sizes = [size for size in sorted(model.losses) if size <= limit][-count:]
    if len(sizes) < count:
        return None
    seen = [Observed(examples=size, loss=model.losses[size]) for size in sizes]
    return outlook(seen, examples=max(model.losses))


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Pick a model from small runs.")
    parser.add_argument("--runs", type=Path, required=True)
    options = parser.parse_args()
    for path in sorted((options.runs / "finetuning_scaling_law").glob("*.csv")):
        models = models_of(path)
        print(f"{path.stem}: {len(models)} models, asked at {max(models[0].losses):,} examples")
        print("sizes  up to   median err  90 % err  in 90 %   regret: ours  best so far  largest")
        for count in HOW_MANY:
            for limit in LIMITS:
                _print(models, count=count, limit=limit)
    return 0


def _print(models: Sequence[Model], *, count: int, limit: int) -> None:
    said = {m.name: forecast(m, limit=limit, count=count) for m in models}
    if any(one is None for one in said.values()):
        return
    true = {m.name: m.losses[max(m.losses)] for m in models}
    found = {name: one for name, one in said.items() if one is not None}
    errors = np.array([abs(found[name].loss / true[name] - 1) for name in true])
    held = np.mean([found[name].low <= true[name] <= found[name].high for name in true])
    picks = {
        "ours": min(found, key=lambda name: found[name].loss),
        "so far": min(models, key=lambda m: m.losses[limit]).name,
        "largest": max(models, key=lambda m: m.parameters).name,
    }
    least = min(true.values())
    regret = {name: true[pick] - least for name, pick in picks.items()}
    print(
        f"{count:5} {limit:7,} {np.median(errors):11.1%} {np.quantile(errors, 0.9):9.1%} "
        f"{held:7.2f} {regret['ours']:14.3f} {regret['so far']:12.3f} {regret['largest']:8.3f}"
    )


if __name__ == "__main__":
    sys.exit(main())
