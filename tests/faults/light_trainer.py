"""A trainer without a model, in the real one's place: `attempt --trainer light_trainer`.

It takes steps that only wait, keeps real checkpoints, speaks the real messages, and ends with a
loss that tells whether each step was taken once: the sum of a pseudo-random number a step.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from metadata.messages import Outcome
from metadata.records import Costs, Measurement, Scores
from training_worker.descendants import PR_SET_PDEATHSIG
from training_worker.resuming import folders
from training_worker.trainer_messages import PREEMPTED, Done, Message, Note, Saved, Work

STEPS = 40
STEP_SECONDS = float(os.environ.get("LIGHT_STEP_SECONDS", "0.05"))
RUN = "light"  # all attempts of a job are of the same run: nothing else shares its folder


def loss_of(steps: int) -> float:
    """Return what so many steps come to, each taken once."""
    return sum(random.Random(step).random() for step in range(1, steps + 1))


class Light:
    """One training."""

    def __init__(self, work: Work) -> None:
        assert work.checkpoint_folder is not None
        self.folder, self.attempt = Path(work.checkpoint_folder), work.attempt
        self.is_stopped = False
        self.step, self.loss, self.curve = 0, 0.0, [self._point(0, 0.0)]
        self.resume()

    def resume(self) -> None:
        for place in folders.places(self.folder):
            try:
                folders.verify(self.folder, place, run=RUN)
            except folders.Unusable:
                continue
            state = json.loads((self.folder / place.name / "state.json").read_text())
            self.step, self.loss = state["step"], state["loss"]
            self.curve = [Measurement.model_validate(point) for point in state["curve"]]
            return

    def save(self) -> None:
        state = {"step": self.step, "loss": self.loss}
        text = json.dumps(state | {"curve": [point.model_dump() for point in self.curve]})
        place = folders.Place(self.step, self.attempt)
        manifest = folders.write(
            self.folder, place, {"state.json": folders.writer_of(text)}, run=RUN
        )
        say(Saved(step=self.step, name=place.name, bytes=manifest.bytes))

    def train(self) -> Outcome | None:
        for point in self.curve:
            self.note(point)
        while self.step < STEPS:
            time.sleep(STEP_SECONDS)
            self.step += 1
            self.loss += random.Random(self.step).random()
            sys.stderr.write(f"step {self.step}\n")
            if self.step % 5 == 0:
                self.curve.append(self._point(self.step, self.loss))
                self.note(self.curve[-1])
                self.save()
            if self.is_stopped:
                self.save()
                return None
        return self.outcome()

    def note(self, point: Measurement) -> None:
        progress = self.step / STEPS
        say(Note(measurement=point, trained_tokens=self.step, progress=progress))

    def outcome(self) -> Outcome:
        return Outcome(
            state="succeeded",
            scores=Scores(base_loss=100.0, best_loss=self.loss, last_loss=self.loss),
            costs=Costs(
                train_seconds=STEPS * STEP_SECONDS,
                eval_seconds=0.0,
                train_cpu_seconds=0.0,
                eval_cpu_seconds=0.0,
                peak_tensor_bytes=1,
                peak_device_bytes=1,
                trained_tokens=self.step,
                steps=self.step,
                trainable_parameters=1,
            ),
        )

    def stop(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.is_stopped = True

    def _point(self, step: int, loss: float) -> Measurement:
        return Measurement(name="loss", step=step, value=loss, split="validation")


def say(message: Message) -> None:
    sys.stdout.write(message.model_dump_json() + "\n")
    sys.stdout.flush()


def main() -> int:
    import ctypes

    work = Work.model_validate_json(sys.stdin.buffer.readline())
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != work.parent:
        return 1
    light = Light(work)
    handler: Any = light.stop
    signal.signal(signal.SIGTERM, handler)
    outcome = light.train()
    if outcome is None:
        return PREEMPTED
    say(Done(outcome=outcome))
    return 0


if __name__ == "__main__":
    sys.exit(main())
