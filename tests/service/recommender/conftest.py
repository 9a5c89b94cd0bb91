"""Knowledge fitted on made-up runs whose law is known.

The best rate is four times the rule's, and every epoch forgets a tenth of a nat.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from math import log10
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metadata.features.device import find_device
from metadata.features.model import find_model
from metadata.footprint import plan
from metadata.knowledge import Knowledge, fit_knowledge
from metadata.priors import rate_ratio
from metadata.records import (
    Configuration,
    Costs,
    DatasetProfile,
    Lengths,
    Origin,
    Run,
    Scores,
    Task,
    content_hash,
)
from metadata.space import sample, suited
from service.recommender.answer import answer
from service.recommender.schemas import RecommendationAnswer, RecommendationRequest

KNOWN = "HuggingFaceTB/SmolLM2-135M"  # what past runs are of
NOW = datetime(2026, 1, 2, tzinfo=UTC)
BEST_RATIO = 4.0
METHODS = ("lora", "rslora", "dora", "ia3", "bitfit", "full")
OPTIMIZERS = ("adamw", "lion")
Ask = Callable[..., RecommendationAnswer]


def make_dataset(number: int, *, examples: int) -> DatasetProfile:
    bytes_ = Lengths(mean=80.0 + number, p50=70, p90=120, p99=160, max=200)
    sha256 = content_hash(["made up", number, examples])
    return DatasetProfile(
        name=f"made-up-{number}",
        group=f"made-up-{number}",
        sha256=sha256,
        kind="generation",
        examples=examples,
        prompt_bytes=bytes_,
        completion_bytes=bytes_,
        distinct_words=400 + 50 * number,
        repeated_word_fraction=0.5,
        distinct_completions=examples,
        completion_entropy_bits=7.0,
        duplicate_fraction=0.0,
        compression_ratio=0.4,
    )


def make_run(task: Task, configuration: Configuration, *, core: bool, noise: float) -> Run:
    miss = log10(rate_ratio(configuration, task.model) / BEST_RATIO)
    gain = 2.0 - miss**2 - 0.1 * abs(log10(configuration.epochs / 5)) + noise
    planned = plan(configuration, task)
    return Run(
        id="run-" + content_hash([task.pair, configuration.key])[:20],
        task=task,
        configuration=configuration,
        state="succeeded",
        scores=Scores(
            base_loss=3.0,
            best_loss=3.0 - gain,
            last_loss=3.0 - gain,
            forgotten=0.1 * configuration.epochs,
        ),
        costs=Costs(
            train_seconds=1.2 * planned.train_seconds,
            eval_seconds=1.0,
            train_cpu_seconds=1.0,
            eval_cpu_seconds=1.0,
            peak_tensor_bytes=planned.peak_bytes,
            peak_device_bytes=planned.peak_bytes,
            trained_tokens=planned.tokens,
            steps=planned.steps,
            trainable_parameters=planned.trainable_parameters,
        ),
        core=core,
        origin=Origin(source="made up"),
        created_at=NOW,
    )


def make_runs() -> list[Run]:
    rng = np.random.default_rng(0)
    model = find_model(KNOWN)
    core = sample(model, count=24, rng=rng, methods=METHODS, optimizers=OPTIMIZERS)
    runs = []
    for number in range(8):
        data = make_dataset(number, examples=200 * (1 + number % 3))
        task = Task(model=model, dataset=data, device=find_device("NVIDIA L40S"))
        runs += [
            make_run(task, suited(one, task), core=True, noise=0.01 * float(rng.normal()))
            for one in core
        ]
    return runs


@pytest.fixture(scope="session")
def runs() -> list[Run]:
    return make_runs()


@pytest.fixture(scope="session")
def knowledge(runs: list[Run]) -> Knowledge:
    return fit_knowledge(runs)


@pytest.fixture(scope="session")
def knowledge_folder(knowledge: Knowledge, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("knowledge") / "shipped"
    knowledge.save(folder)
    return folder


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def request_json() -> dict[str, object]:
    return {
        "base_model": {"id": "meta-llama/Llama-3.2-3B"},
        "dataset": {"profile": make_dataset(99, examples=1000).model_dump(mode="json")},
        "hardware": {"device": "NVIDIA L40S"},
    }


@pytest.fixture
def request_(request_json: dict[str, object]) -> RecommendationRequest:
    return RecommendationRequest.model_validate(request_json)


@pytest.fixture
def ask(knowledge: Knowledge, request_json: dict[str, Any], now: Any) -> Ask:
    def ask_with(**changes: Any) -> RecommendationAnswer:
        request = RecommendationRequest.model_validate({**request_json, **changes})
        return answer(request, knowledge, now=now)

    return ask_with


@pytest.fixture
def near(runs: list[Any]) -> dict[str, Any]:
    """Return a question like what past runs are of; the usual one is far from them."""
    usual = runs[30].task.dataset.model_copy(update={"sha256": "ab" * 32})
    return {"base_model": {"id": KNOWN}, "dataset": {"profile": usual.model_dump(mode="json")}}
