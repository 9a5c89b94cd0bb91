"""One run of a campaign, and the process that does run after run."""

import hashlib
import signal
from datetime import UTC, datetime
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from transformers.utils.logging import disable_progress_bar

from metadata.records import Origin, Run, RunState
from training_worker.campaigns.plan import Item
from training_worker.campaigns.shards import append, new_shard
from training_worker.campaigns.sources import TEST_EXAMPLES, VALIDATION_EXAMPLES, examples_of
from training_worker.forgetting import read_texts
from training_worker.model import resolve_model
from training_worker.request import RunRequest, ScoreSettings
from training_worker.run import run

EVALUATIONS = 4
SCORING = ScoreSettings(
    validation_examples=VALIDATION_EXAMPLES,
    test_examples=TEST_EXAMPLES,
    ranked_examples=0,
    batch_size=32,
)
SOURCE = "campaign"
_REASON_CHARACTERS = 2000


def do(item: Item) -> Run:
    """Train and score one item, and return what is to be kept of it."""
    splits = examples_of(item.sized)
    request = RunRequest(
        base_model=item.base_model,
        train=splits.train,
        validation=splits.validation,
        test=splits.test,
        configuration=item.configuration,
        limits=item.limits,
        device="cuda" if item.task.device.kind == "cuda" else "cpu",
        evaluations=EVALUATIONS,
        own_text=read_texts(Path(resolve_model(item.base_model))),
        scoring=SCORING,
    )
    result = run(request)
    return Run(
        id=item.run_id,
        task=item.task,
        configuration=item.configuration,
        state=result.state,
        reason=result.reason[:_REASON_CHARACTERS],
        curve=result.curve,
        scores=result.scores,
        costs=result.costs,
        core=item.core,
        versions={**result.versions, **_base_version(item.base_model)},
        origin=Origin(source=SOURCE, detail=item.detail),
        created_at=datetime.now(UTC),
    )


def failed(item: Item, reason: str, state: RunState = "failed") -> Run:
    """Return the record of a run that ended without a word of its own."""
    return Run(
        id=item.run_id,
        task=item.task,
        configuration=item.configuration,
        state=state,
        reason=reason[:_REASON_CHARACTERS],
        core=item.core,
        origin=Origin(source=SOURCE, detail=item.detail),
        created_at=datetime.now(UTC),
    )


def serve(connection: Connection, output: Path) -> None:
    """Do the items that come over a connection, answering each with how it ended, until None.

    Ctrl-C is the parent's to handle.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    disable_progress_bar()  # the campaign has one of its own
    shard = new_shard(output)
    while (item := connection.recv()) is not None:
        try:
            made = do(item)
        except Exception as error:  # one dataset that cannot be read must not end the campaign
            made = failed(item, _told(error))
        append(shard, made)
        connection.send(made.state)


def _told(error: Exception) -> str:
    """Return what happened, without the folder names that an OSError tells."""
    said = error.strerror if isinstance(error, OSError) else error
    return f"{type(error).__name__}: {said}"


@lru_cache(maxsize=4)
def _base_version(base_model: str) -> dict[str, str]:
    """Return the hash of a base model's weights, as its id says nothing of a retraining."""
    weights = Path(resolve_model(base_model)) / "model.safetensors"
    if not weights.is_file():
        return {}
    return {"base_model": hashlib.sha256(weights.read_bytes()).hexdigest()[:16]}
