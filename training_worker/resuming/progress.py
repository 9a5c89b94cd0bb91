"""All that a run has got to between two steps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch

from training_worker.checkpoints import Checkpoints, copy_of, put_back
from training_worker.ledger import Ledger
from training_worker.resuming.folders import Writers, writer_of
from training_worker.resuming.states import State, random_state, restore_random
from training_worker.steps import Learner, Steps

STATE, LEDGER = "state.pt", "ledger.json"


@dataclass
class Progress:
    """What decides the rest of a run: the plan of its steps is the same again from the seed.

    Attributes:
        nats: The training loss summed since the last evaluation, over so many targets.
    """

    learner: Learner
    steps: Steps
    checkpoints: Checkpoints
    ledger: Ledger
    nats: float = 0.0
    targets: int = 0

    def add(self, nats: float, targets: int) -> None:
        """Count a step's loss."""
        self.nats, self.targets = self.nats + nats, self.targets + targets

    def taken_loss(self) -> float:
        """Return the mean loss since the last call, and begin anew."""
        loss = self.nats / self.targets
        self.nats, self.targets = 0.0, 0
        return loss

    def writers(self) -> Writers:
        """Return the files of a checkpoint of this moment, as what writes them."""

        def write_state(file: BinaryIO) -> None:
            torch.save(self._state(), file)

        return {STATE: write_state, LEDGER: writer_of(self.ledger.to_json())}

    def restore(self, state: State, ledger: Mapping[str, Any]) -> None:
        """Go on from what `writers` wrote."""
        put_back(state["weights"], self.learner.weights)
        self.steps.restore(state["steps"])
        self.checkpoints.restore(state["kept"])
        self.nats, self.targets = state["nats"], state["targets"]
        self.ledger.restore(ledger)
        restore_random(state["random"], self.ledger.device)

    def _state(self) -> State:
        return {
            "weights": copy_of(self.learner.weights),
            "steps": self.steps.state(),
            "kept": self.checkpoints.state(),
            "nats": self.nats,
            "targets": self.targets,
            "random": random_state(self.ledger.device),
        }
