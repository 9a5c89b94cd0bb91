"""Figures of the rectified scaling law: full fine-tuning of 30 models by examples."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from published_sources import Source, ends_of, find_source, table

from metadata.arrays import Floats
from metadata.published import Figure
from metadata.rectified_law import RectifiedLaw, fit_rectified_law

# Values with digits that look typed by hand (dataset, model): not leant on.
DOUBTFUL = {
    ("flan", "cerebras/Cerebras-GPT-1.3B"),
    ("flan", "cerebras/Cerebras-GPT-2.7B"),
    ("flan", "google/mt5-large"),
    ("wmt19", "google/mt5-base"),
}
DIGITS = 3  # of a fit
BLOCKS = 5
MOST_ERROR = 0.05  # a table further off does not follow the law


def law_figures(runs: Path) -> Iterator[Figure]:
    """Yield exponent and transition of the rectified law, full fine-tuning of 30 models."""
    for dataset in ("flan", "wmt19"):
        source = find_source(
            runs, f"finetuning_scaling_law/{dataset}.csv", file=f"benchmark/{dataset}.csv"
        )
        for row in table(source.folder):
            if (dataset, row["config name"]) not in DOUBTFUL:
                yield from _law(source, dataset, row)


def _law(source: Source, dataset: str, row: dict[str, str]) -> Iterator[Figure]:
    sizes = sorted(int(key) for key in row if key.isdigit() and int(key) > 0)
    examples_S = np.array(sizes, dtype=float)
    loss_S = np.array([float(row[str(size)]) for size in sizes])
    law = fit_rectified_law(examples_S, loss_S)
    if law.error > MOST_ERROR:
        return
    others = [law, *_left_out(examples_S, loss_S)]
    columns: dict[str, Any] = {
        "method": "full",
        "model": row["config name"],
        "family": row["family"].lower(),
        "parameters": int(row["size"]),
        "task": dataset,
        "condition": f"200 to 1,638,400 examples, test loss; error of the fit {law.error:.1%}",
        "runs": len(sizes),
        "digits": DIGITS,
        "over": "fifths of the sizes left out",
    }
    yield source.figure(
        "scaling_exponent", law.exponent, ends=ends_of([one.exponent for one in others]), **columns
    )
    if sizes[0] <= law.transition_examples <= sizes[-1]:  # else it is beyond what was measured
        yield source.figure(
            "transition_examples",
            law.transition_examples,
            ends=ends_of([one.transition_examples for one in others]),
            **columns,
        )


def _left_out(examples_S: Floats, loss_S: Floats) -> Iterator[RectifiedLaw]:
    """Yield the law without each fifth of the sizes, neighbours together."""
    for block in np.array_split(np.arange(len(examples_S)), BLOCKS):
        yield fit_rectified_law(np.delete(examples_S, block), np.delete(loss_S, block))
