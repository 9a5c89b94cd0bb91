"""Random numbers of a run's own."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def own_random_numbers() -> Iterator[None]:
    """Put torch's random numbers back afterwards, those of every CUDA device too."""
    devices = list(range(torch.cuda.device_count()))  # unnamed, several of them make torch warn
    with torch.random.fork_rng(devices=devices):
        yield
