"""A pretraining that was interrupted, kept in the cache until it is whole."""

import hashlib
import os
from dataclasses import asdict
from typing import Any

import torch

from training_worker.pretraining.corpus import Rows
from training_worker.pretraining.settings import Settings

DECIDE_NOTHING = {"output", "cache", "processes", "corpus"}  # the rows say what the corpus was


class Halted:
    """The file from which one pretraining, by its settings and its corpus, goes on."""

    def __init__(self, settings: Settings, rows_NL: Rows) -> None:
        """Name the file by what decides the weights."""
        said = asdict(settings).items()
        decide = sorted((name, value) for name, value in said if name not in DECIDE_NOTHING)
        key = hashlib.sha256(repr(decide).encode() + rows_NL.tobytes())
        self._file = settings.cache / f"peftwise-pretraining-{key.hexdigest()[:16]}.pt"

    def resume(
        self, model: Any, optimizer: torch.optim.Optimizer
    ) -> tuple[int, float, torch.Tensor]:
        """Put model and optimizer back; return the steps done, the seconds they took, the loss."""
        if not self._file.is_file():
            return 0, 0.0, torch.zeros(())
        state = torch.load(self._file, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        return int(state["step"]), float(state["seconds"]), torch.tensor(state["loss"])

    def keep(
        self,
        model: Any,
        optimizer: torch.optim.Optimizer,
        *,
        step: int,
        seconds: float,
        loss: torch.Tensor,
    ) -> None:
        """Write what is done so far, whole or not at all."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        partial = self._file.with_suffix(f".{os.getpid()}")
        state = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "step": step,
            "seconds": seconds,
            "loss": float(loss),
        }
        torch.save(state, partial)
        partial.replace(self._file)

    def forget(self) -> None:
        """Take the file away, as the pretraining is whole."""
        self._file.unlink(missing_ok=True)
