"""How far a task lies from all that is known, in words.

Axes: B task features compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from metadata.arrays import Floats
from metadata.features import TASK_FEATURES
from metadata.features.task import describe_task
from metadata.records import Task
from metadata.surrogates.distance import Distances
from metadata.surrogates.transfer import Quality

NAMED = 4  # features named at most
SMALLEST_TIMES = 1.5  # a size beyond the known range by less is not worth a word
SMALLEST_SHARE = 0.05

# Sizes, which stand among the features as logarithms to base 2.
SIZES: Mapping[str, str] = {
    "log2_parameters": "model size",
    "log2_hidden_size": "model width",
    "log2_layers": "number of layers",
    "log2_vocabulary": "vocabulary",
    "log2_examples": "number of examples",
    "log2_prompt_tokens": "prompt length",
    "log2_completion_tokens": "completion length",
    "log2_completion_spread": "spread of completion lengths",
    "log2_distinct_completions": "number of different completions",
    "log2_distinct_words": "number of different words",
    "log2_target_tokens": "tokens to learn",
    "log2_target_tokens_per_parameter": "tokens to learn per model weight",
}
PLAIN: Mapping[str, str] = {
    "completion_entropy_bits": "entropy of completions in bits",
    "repeated_word_fraction": "share of repeated words",
    "duplicate_fraction": "share of duplicates",
    "compression_ratio": "compression ratio",
}
STATES: Mapping[str, tuple[str, str]] = {
    "tied_embeddings": ("embeddings are not tied", "embeddings are tied"),
    "kind_classification": ("", "kind of data: classification"),
    "kind_extraction": ("", "kind of data: extraction"),
    "kind_generation": ("", "kind of data: generation"),
    "kind_text": ("", "kind of data: plain text"),
}


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What an answer stands on.

    Attributes:
        runs: Past runs known.
        tasks: Pairs of base model and data that they are of.
        distance: To the nearest pair that quality was learnt from; 1 is usual between datasets.
        in_distribution: Whether known datasets lie that far from each other too.
        farthest: Features beyond the known range in plain words, the farthest first.
        published: Share of published results in what is expected; the rest is that of own runs.
        taus: Of each published source, Kendall's tau of its order with that of own runs, and
            with that of the other sources.
    """

    runs: int
    tasks: int
    distance: float
    in_distribution: bool
    farthest: tuple[str, ...]
    published: float
    taus: Mapping[str, tuple[float, float]]


def weigh_evidence(task: Task, quality: Quality, *, runs: int, tasks: int) -> Evidence:
    """Return what is known that bears on a task."""
    task_F, distances = describe_task(task), quality.distances
    distance = float(distances.to_known(task_F).min())
    return Evidence(
        runs=runs,
        tasks=tasks,
        distance=distance,
        in_distribution=distance <= distances.limit,
        farthest=_farthest(task_F, distances),
        published=quality.share_of_published(task_F),
        taus={} if quality.far is None else quality.far.taus,
    )


def _farthest(task_F: Floats, distances: Distances) -> tuple[str, ...]:
    excess_B = distances.excess(task_F)
    order = np.argsort(-np.abs(excess_B) / distances.scale, kind="stable")
    said = []
    for place in order:
        column = int(distances.compared_B[place])
        words = _say(TASK_FEATURES[column], float(excess_B[place]), float(task_F[column]))
        if words:
            said.append(words)
    return tuple(said[:NAMED])


def _say(name: str, excess: float, value: float) -> str:
    """Say in words that a feature lies beyond the known range, or nothing where it does not."""
    end = "largest" if excess > 0 else "smallest"
    if name in SIZES and 2.0 ** abs(excess) >= SMALLEST_TIMES:
        times = _round(2.0 ** abs(excess))
        return f"{SIZES[name]}: {times} times {'' if excess > 0 else 'below '}the {end} known"
    if name in PLAIN and abs(excess) >= SMALLEST_SHARE:
        return f"{PLAIN[name]}: {value:.2g}, {abs(excess):.2g} beyond the {end} known"
    if name in STATES and excess != 0:
        return STATES[name][excess > 0] and f"{STATES[name][excess > 0]}, never seen"
    return ""


def _round(times: float) -> str:
    """Return a factor in two digits: 2.3, 23, 2,300."""
    shown = float(f"{times:.2g}")
    return f"{shown:.1f}" if shown < 10 else f"{shown:,.0f}"
