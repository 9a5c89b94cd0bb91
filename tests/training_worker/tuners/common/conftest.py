"""Every test draws the same random numbers and hears nothing of what PEFT will mend."""

import warnings
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _quiet_and_repeatable() -> Iterator[None]:
    with torch.random.fork_rng(), warnings.catch_warnings():
        # PEFT asks transformers by a name that is on its way out
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
        torch.manual_seed(0)
        yield
