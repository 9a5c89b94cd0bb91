"""Give each run what its base says of its data before training."""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from metadata.records import Probe, Run
from training_worker.campaigns.pairs import find_pairs
from training_worker.campaigns.sources import examples_of, find_sources
from training_worker.probe import probe


def with_probes(
    runs: Sequence[Run], data: Path | None, base_models: Sequence[str]
) -> Iterator[Run]:
    """Yield the runs, with the probe of their pair where base model and dataset are at hand.

    Others keep the one that they have.
    """
    found = find_pairs(find_sources(data), base_models)
    pairs = {pair.task.pair: pair for pair in found}

    @cache
    def of(name: str) -> Probe | None:
        pair = pairs.get(name)
        if pair is None:
            return None
        return probe(pair.base_model, examples_of(pair.sized).train, device="cpu")

    for run in runs:
        known = of(run.task.pair) or run.task.dataset.probe
        dataset = run.task.dataset.model_copy(update={"probe": known})
        task = run.task.model_copy(update={"dataset": dataset})
        yield run.model_copy(update={"task": task})
