"""Choose how many examples go through the model together; the result of a run is the same."""

from collections.abc import Sequence
from typing import Any

import torch

from metadata.errors import InvalidRequest
from metadata.features.model import profile_model
from metadata.footprint import CPU_MICRO_BATCH, footprint
from metadata.objectives import ROWS
from metadata.records import ModelProfile
from training_worker.data import Tokens
from training_worker.request import RunRequest

FREE_SHARE = 0.9  # of what the device says is free; the rest is lost to fragments


def first_micro_batch(
    request: RunRequest, model: Any, examples: Sequence[Tokens], device: torch.device
) -> int:
    """Return the micro-batch to try first: the one asked for, or the largest forecast to fit."""
    batch = request.configuration.batch_size
    if request.micro_batch_size is not None:
        return min(batch, request.micro_batch_size)
    profile = profile_of(model)
    if device.type != "cuda" or profile is None:
        return min(batch, CPU_MICRO_BATCH // ROWS[request.objective.name])
    limit = request.limits.memory_bytes or int(FREE_SHARE * torch.cuda.mem_get_info(device)[0])
    longest = max(len(example.ids) for example in examples)
    if request.configuration.packing:
        longest = max(longest, request.configuration.max_length_tokens)
    return largest_that_fits(request, profile, longest_tokens=longest, memory_bytes=limit)


def largest_that_fits(
    request: RunRequest, model: ModelProfile, *, longest_tokens: int, memory_bytes: int
) -> int:
    """Return the largest power of two up to the batch whose footprint fits, at least 1."""
    batch = request.configuration.batch_size
    size = 1 << (batch.bit_length() - 1)
    while size > 1:
        needs = footprint(
            request.configuration,
            model,
            micro_batch_size=size,
            length_tokens=longest_tokens,
            accumulates=size < batch,
        )
        if needs.peak_bytes <= memory_bytes:
            break
        size //= 2
    return size


def profile_of(model: Any) -> ModelProfile | None:
    """Return the sizes of a model, or None where its config does not tell them."""
    try:
        return profile_model(model.config.to_dict(), id="base")
    except InvalidRequest:
        return None
