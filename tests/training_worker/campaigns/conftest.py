"""Two small datasets, their pairs with the shipped base and the core on them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from metadata.records import Run, Scores
from training_worker.campaigns.pairs import Pair, find_pairs
from training_worker.campaigns.plan import Item, core
from training_worker.campaigns.sources import find_sources
from training_worker.campaigns.work import failed

SECRET = "zanzibar"  # a word of every prompt, which no run may tell
TINY = "peftwise-tiny"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name, length in (("colours", 1), ("stories", 60)):
        lines = [
            json.dumps({"prompt": f"{SECRET} {number}:", "completion": "blue sky " * length})
            for number in range(700)
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def pairs(data: Path) -> list[Pair]:
    return find_pairs(find_sources(data, ["colours", "stories"]), [TINY])


@pytest.fixture(scope="module")
def items(pairs: list[Pair]) -> list[Item]:
    return [item for pair in pairs for item in core(pair, 0, {})]


@pytest.fixture(scope="session")
def scored() -> Callable[[Item, float], Run]:
    """Return what makes the record of a run that gained so much."""

    def make(item: Item, gain: float) -> Run:
        scores = Scores(base_loss=50.0, best_loss=50.0 - gain, last_loss=50.0 - gain)
        done = failed(item, "", "succeeded")
        return done.model_copy(update={"scores": scores})

    return make
