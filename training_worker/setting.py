"""What of a run a method may look at before its first step."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import torch

from metadata.records import Configuration
from training_worker.data import Batch, Tokens, collate

LOOKED_AT = 64  # examples: enough for the statistics that starts take, few enough to be quick
BATCH_SIZE = 8


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A few micro-batches of the training data, and the optimizer steps of the run."""

    batches: tuple[Batch, ...] = ()
    steps: int = 1


def look(
    examples: Sequence[Tokens],
    configuration: Configuration,
    *,
    padding_id: int,
    device: torch.device,
) -> Setting:
    """Return the setting of a run on these examples: the first of them, in the order given."""
    seen = examples[:LOOKED_AT]
    return Setting(
        batches=tuple(
            collate(
                seen[start : start + BATCH_SIZE],
                loss_on=configuration.loss_on,
                padding_id=padding_id,
                device=device,
            )
            for start in range(0, len(seen), BATCH_SIZE)
        ),
        steps=ceil(max(1, round(configuration.epochs * len(examples))) / configuration.batch_size),
    )
