"""Two processes that train together train as one does, and agree on what ends a run."""

import json
import os
import signal
import subprocess
import sys
from math import isclose
from pathlib import Path

import pytest

from metadata.messages import Limits
from metadata.records import SUPERVISED, Configuration, Objective, Scores
from training_worker.launcher import reason_among
from training_worker.trainer_messages import (
    PREEMPTED,
    Done,
    Message,
    Note,
    Saved,
    Work,
    parse_message,
)
from training_worker.trainer_process import environment_of

WORDS = ["red", "green and blue", "one two three four five six", "x"]  # of unlike lengths
RECORDS = [{"prompt": f"Say {n}:", "completion": f" {WORDS[n % 4]}"} for n in range(60)]
PAIRS = [
    {"prompt": one["prompt"], "chosen": one["completion"], "rejected": f" no {WORDS[-n % 4]}"}
    for n, one in enumerate(RECORDS)
]
LORA = {"name": "lora", "r": 4, "lora_alpha": 8, "lora_dropout": 0.0}


def start(processes: int, base_model: str, folder: Path, **changes: object) -> list[str]:
    limits, objective = changes.pop("limits", Limits()), changes.pop("objective", SUPERVISED)
    records = RECORDS if objective == SUPERVISED else PAIRS
    training_file = b"\n".join(json.dumps(record).encode() for record in records)
    values = {
        "method": LORA,
        "optimizer": {"name": "adamw", "learning_rate": 1e-2},
        "batch_size": 6,
        "epochs": 0.6,
        "max_length_tokens": 64,
    }
    work = Work(
        parent=os.getpid(),
        base_model=base_model,
        configuration=Configuration.model_validate(values | changes),
        objective=objective,
        serve_with=None,
        limits=limits,
        output_folder=str(folder / "adapter"),
        training_bytes=len(training_file),
        validation_bytes=None,
        checkpoint_folder=str(folder / "checkpoints"),
        checkpoint_seconds=3600.0,
    )
    file = folder / "work"
    folder.mkdir(exist_ok=True)
    file.write_bytes(work.model_dump_json().encode() + b"\n" + training_file)
    child = ["-m", "training_worker", "train-child", "--work", str(file)]
    return [*launch(processes), *child]


def launch(processes: int) -> list[str]:
    return [sys.executable, "-m", "training_worker.launcher", str(processes), sys.executable]


def train(processes: int, base_model: str, folder: Path, **changes: object) -> list[Message]:
    command = start(processes, base_model, folder, **changes)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, env=environment, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:].decode()
    return [parse_message(line) for line in done.stdout.splitlines()]


def curve_of(said: list[Message]) -> dict[tuple[str, str, int], float]:
    noted = [one.measurement for one in said if isinstance(one, Note) and one.measurement]
    return {(one.name, one.split, one.step): one.value for one in noted}


def scores_of(said: list[Message]) -> Scores:
    assert [type(one) for one in said].count(Done) == 1, "only one process is to report"
    assert isinstance(said[-1], Done)
    assert said[-1].outcome.scores is not None, said[-1].outcome.reason
    return said[-1].outcome.scores


@pytest.mark.parametrize(
    "objective", [SUPERVISED, Objective(name="dpo")], ids=lambda objective: objective.name
)
def test_two_processes_train_as_one_does(objective, tiny_llama, tmp_path) -> None:
    # Five steps, each of them an evaluation point.
    one = train(1, tiny_llama, tmp_path / "one", objective=objective)
    two = train(2, tiny_llama, tmp_path / "two", objective=objective)

    curve, other = curve_of(one), curve_of(two)
    assert curve.keys() == other.keys()
    trained = [key for key in curve if key[:2] == ("loss", "train")]
    assert len(trained) == 5
    assert any(curve[key] != other[key] for key in trained), "they were meant to be two"
    for key in curve:
        assert isclose(curve[key], other[key], rel_tol=1e-5, abs_tol=1e-6), key
    assert isclose(scores_of(one).best_loss, scores_of(two).best_loss, rel_tol=1e-4)
    assert one[-1].outcome.costs.trained_tokens == two[-1].outcome.costs.trained_tokens
    assert list((tmp_path / "two" / "adapter").glob("*.safetensors"))


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({"limits": Limits(train_seconds=1e-4)}, "timed_out", "step 1"),
        (
            {"optimizer": {"name": "mezo", "learning_rate": 1e-3, "perturbation": 1e-3}},
            "failed",
            "there are 2 processes",
        ),
    ],
    ids=["time", "derivative-free"],
)
def test_what_ends_a_run_ends_both_and_is_told_once(
    changes, state, words, tiny_llama, tmp_path
) -> None:
    said = train(2, tiny_llama, tmp_path, **changes)

    ends = [one.outcome for one in said if isinstance(one, Done)]
    assert [end.state for end in ends] == [state]
    assert words in ends[0].reason


def test_a_signal_to_the_launcher_leaves_a_whole_checkpoint(tiny_llama, tmp_path) -> None:
    command = start(2, tiny_llama, tmp_path, epochs=500)
    said: list[Message] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"}
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(parse_message(line))
            if isinstance(said[-1], Note) and said[-1].trained_tokens:
                process.send_signal(signal.SIGTERM)

    assert process.returncode == -signal.SIGTERM
    assert isinstance(said[-1], Saved)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [said[-1].name]


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("os.kill(os.getpid(), 9) if rank else time.sleep(60)", -signal.SIGKILL),
        ("sys.exit(3) if rank else time.sleep(60)", 3),
        (f"sys.exit({PREEMPTED})", PREEMPTED),
        ("sys.exit(0)", 0),
    ],
    ids=["killed", "failed", "asked to stop", "done"],
)
def test_the_launcher_ends_as_its_ranks_end(script: str, code: int) -> None:
    lines = f"import os, sys, time\nrank = int(os.environ['RANK'])\n{script}"

    ended = subprocess.run([*launch(2), "-c", lines], capture_output=True, timeout=120)

    assert ended.returncode == code, ended.stderr[-2000:].decode()


@pytest.mark.parametrize(
    ("codes", "reason"),
    [([-15, -9], -9), ([-6, -9, 75], -9), ([-6, 1], 1), ([-6, -15], -6), ([75, -15], 75)],
)
def test_the_rank_that_ended_first_is_the_reason(codes: list[int], reason: int) -> None:
    assert reason_among(codes) == reason


@pytest.mark.parametrize(
    ("given", "each"), [("8", "4"), ("1", "1"), ("4,2", "4,2")], ids=["many", "one", "nested"]
)
def test_processes_share_the_threads_of_one(given: str, each: str) -> None:
    assert environment_of(1, {"OMP_NUM_THREADS": given})["OMP_NUM_THREADS"] == given
    assert environment_of(2, {"OMP_NUM_THREADS": given})["OMP_NUM_THREADS"] == each
