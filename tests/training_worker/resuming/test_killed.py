"""Real trainer processes, killed, told to stop, and short of disk; the next one goes on."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from metadata.messages import Limits
from metadata.optimizers import OPTIMIZERS
from metadata.parameters import defaults
from metadata.records import SUPERVISED, Configuration, Measurement, Objective
from training_worker.trainer_messages import (
    PREEMPTED,
    Done,
    Message,
    Note,
    Notice,
    Saved,
    Work,
    parse_message,
)

RECORDS = [{"prompt": f"Say {number}:", "completion": f" {number % 5}"} for number in range(60)]
PAIRS = [
    {"prompt": one["prompt"], "chosen": one["completion"], "rejected": f" {n % 7} or so"}
    for n, one in enumerate(RECORDS)
]
LORA = {"name": "lora", "r": 4, "lora_alpha": 8, "lora_dropout": 0.1}
DORA = LORA | {"name": "dora"}
ADAMW = {"name": "adamw", "learning_rate": 1e-2}


def of_table(name: str, **changes: object) -> dict[str, object]:
    return {"name": name} | defaults(OPTIMIZERS[name].parameters) | changes


PRODIGY = {"optimizer": of_table("prodigy"), "schedule": {"name": "cosine"}}
SEARCH = {
    "optimizer": of_table("cma", population=4, intrinsic_dimension=20),
    "target_modules": "qk",
}


@dataclass(frozen=True)
class Trainers:
    """Trainers of one job: what each is asked, and where what they leave is."""

    base_model: str
    folder: Path
    changes: dict[str, object]
    checkpoint_seconds: float = 0.0
    objective: Objective = SUPERVISED

    def start(self, attempt: int, *, largest_file: int | None = None) -> "subprocess.Popen[bytes]":
        records = RECORDS if self.objective == SUPERVISED else PAIRS
        training_file = b"\n".join(json.dumps(record).encode() for record in records)
        work = Work(
            parent=os.getpid(),
            base_model=self.base_model,
            configuration=Configuration.model_validate(
                {"method": LORA, "optimizer": ADAMW, "batch_size": 4, "epochs": 5}
                | {"max_length_tokens": 64}
                | self.changes
            ),
            objective=self.objective,
            serve_with=None,
            limits=Limits(),
            output_folder=str(self.folder / "adapter"),
            training_bytes=len(training_file),
            validation_bytes=None,
            checkpoint_folder=str(self.folder / "checkpoints"),
            attempt=attempt,
            checkpoint_seconds=self.checkpoint_seconds,
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "training_worker", "train-child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        if largest_file is not None:
            limits = (largest_file, largest_file)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, limits)
        assert process.stdin is not None
        with process.stdin as pipe:
            pipe.write(work.model_dump_json().encode() + b"\n" + training_file)
        return process

    def adapter(self) -> dict[str, torch.Tensor]:
        return load_file(next((self.folder / "adapter").glob("*.safetensors")))


def messages(process: "subprocess.Popen[bytes]") -> Iterator[Message]:
    """Yield what a trainer says until it ends, but for a line that its death cut short."""
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.endswith(b"\n"):
                yield parse_message(line)


def finish(process: "subprocess.Popen[bytes]") -> list[Message]:
    return list(messages(process))


def curve_of(said: list[Message]) -> dict[tuple[str, str, int], Measurement]:
    noted = [one.measurement for one in said if isinstance(one, Note) and one.measurement]
    return {(one.name, one.split, one.step): one for one in noted}


def kill_after(process: "subprocess.Popen[bytes]", step: int, rng: random.Random) -> int:
    """Kill a trainer soon after it saved a step, at any moment of the next; return the step."""
    reached = 0
    for message in messages(process):
        if isinstance(message, Saved):
            reached = message.step
            if reached >= step:
                time.sleep(rng.uniform(0, 0.02))
                process.kill()
    assert process.returncode == -signal.SIGKILL
    return reached


def killed_run_is_the_undisturbed(
    base_model: str,
    folder: Path,
    changes: dict[str, object],
    *,
    kills: int,
    seed: int,
    objective: Objective = SUPERVISED,
) -> None:
    rng = random.Random(seed)
    whole = Trainers(base_model, folder / "whole", changes, objective=objective)
    undisturbed = finish(whole.start(1))
    assert isinstance(undisturbed[-1], Done)
    assert undisturbed[-1].outcome.state == "succeeded", undisturbed[-1].outcome.reason
    all_steps = undisturbed[-1].outcome.costs.steps
    at = sorted(rng.sample(range(1, all_steps - 1), kills))
    killed = Trainers(base_model, folder / "killed", changes, objective=objective)

    reached = [kill_after(killed.start(n), step, rng) for n, step in enumerate(at, start=1)]
    last = finish(killed.start(kills + 1))

    assert isinstance(last[-1], Done), (seed, reached)
    assert [one.message for one in last if isinstance(one, Notice) and "Went on" in one.message]
    assert curve_of(last) == curve_of(undisturbed)
    assert last[-1].outcome.scores == undisturbed[-1].outcome.scores
    one, other = whole.adapter(), killed.adapter()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    "objective", [SUPERVISED, Objective(name="dpo")], ids=lambda objective: objective.name
)
def test_a_trainer_killed_at_random_steps_ends_with_the_same_bits(
    objective, tiny_llama, tmp_path
) -> None:
    killed_run_is_the_undisturbed(tiny_llama, tmp_path, {}, kills=2, seed=7, objective=objective)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"method": LORA},
        {"method": DORA},
        {"method": LORA} | PRODIGY,
        {"method": DORA} | PRODIGY,
        {"method": LORA, "optimizer": of_table("schedule_free_adamw", learning_rate=1e-2)}
        | {"schedule": {"name": "constant"}},
        {"method": LORA, "epochs": 20} | SEARCH,
    ],
    ids=["lora", "dora", "lora-prodigy", "dora-prodigy", "schedule-free", "cma"],
)
def test_five_kills_change_no_bit(changes, tiny_llama, tmp_path) -> None:
    seed = random.SystemRandom().randrange(10_000)
    killed_run_is_the_undisturbed(tiny_llama, tmp_path, changes, kills=5, seed=seed)


def test_a_signal_to_stop_leaves_a_checkpoint_and_no_outcome(tiny_llama, tmp_path) -> None:
    trainers = Trainers(tiny_llama, tmp_path, {"epochs": 500}, checkpoint_seconds=3600.0)
    process = trainers.start(1)
    said = []
    for message in messages(process):
        said.append(message)
        if isinstance(message, Note) and message.trained_tokens:
            process.send_signal(signal.SIGTERM)  # and again, which changes nothing

    assert process.returncode == PREEMPTED
    assert isinstance(said[-1], Saved)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [said[-1].name]
    assert not any(isinstance(one, Done) for one in said)


def test_training_goes_on_where_checkpoints_cannot_be_written(tiny_llama, tmp_path) -> None:
    trainers = Trainers(tiny_llama, tmp_path, {"method": {"name": "full"}, "epochs": 2})
    process = trainers.start(1, largest_file=200_000)

    said = finish(process)

    notices = [one for one in said if isinstance(one, Notice)]
    assert isinstance(said[-1], Done)
    assert said[-1].outcome.costs.steps > 2
    assert [one.data["reason"] for one in notices] == ["File too large"]
    assert "Free space" in notices[0].message
    assert not any(isinstance(one, Saved) for one in said)
    assert list((tmp_path / "checkpoints").iterdir()) == []
