"""What makes a run this run and no other, as one hash."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import torch

from metadata.records import SUPERVISED
from training_worker.request import RunRequest

SAMPLED = 64  # numbers of each weight tensor, spread over it: another training changes them all


def fingerprint(request: RunRequest, base: Any) -> str:
    """Return the SHA-256 of configuration, data, objective, what is scored, and the base as loaded.

    The base counts by names, shapes and a sample of its weights, not by its path, which differs
    between workers, and not by all bytes, which take long to read. Limits, the micro-batch and
    where results go may change between attempts.
    """
    asked = {
        "configuration": request.configuration.model_dump(mode="json"),
        "splits": [
            [asdict(example) for example in split]
            for split in (request.train, request.validation, request.test)
        ],
        "own_text": request.own_text,
        "evaluations": request.evaluations,
        "scoring": asdict(request.scoring),
    }
    if request.objective != SUPERVISED:  # named only then: older checkpoints stay those of theirs
        asked["objective"] = request.objective.model_dump(mode="json")
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode())
    for part in _weights(base):
        digest.update(part)
    return digest.hexdigest()


@torch.no_grad()
def _weights(base: Any) -> Iterator[bytes]:
    for name, weight in base.named_parameters():
        yield f"{name} {tuple(weight.shape)} {weight.dtype}".encode()
        flat = weight.detach().reshape(-1)
        sample = flat[:: max(1, len(flat) // SAMPLED)].contiguous().cpu()
        yield sample.view(torch.uint8).numpy().tobytes()
