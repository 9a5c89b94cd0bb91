"""Every PEFT method on three real tasks, each at the best of a small ladder of learning rates.

    python benchmarks/methods.py --data FOLDER [--output FILE] [--methods NAME ...] [--jobs 2]

FOLDER holds TASK.jsonl of prompts and completions. Each run trains `peftwise-tiny` on 100 examples
for two epochs at the method's default values. The ladder is climbed from the usual rate of the
method: a third and three times, and on while the end is best by validation; what is told is scored
on test. The result file grows run by run, and a run that stands in it is not done again.

Printed per method: nats per completion token gained over the frozen base, best rate as a multiple
of the usual one, seconds of training, peak of live tensors, trained weights, and the effective
rank of the update (exponential of the entropy of its singular values, Roy and Vetterli 2007),
mean over the linear maps that changed.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metadata.examples import Splits
from metadata.features.model import find_model
from metadata.methods import METHODS
from metadata.parameters import defaults
from metadata.priors import usual_rate
from metadata.records import Configuration
from metadata.space import exists, sample
from training_worker.adapter import load_adapter
from training_worker.campaigns.sources import Source, load
from training_worker.export import merge
from training_worker.model import load_base
from training_worker.request import RunRequest, ScoreSettings
from training_worker.run import run

BASE = "peftwise-tiny"
TASKS = ("trec_qc", "nl2bash", "restaurant8k_slots")
EXAMPLES, EPOCHS, BATCH_SIZE, LENGTH_TOKENS = 100, 2.0, 8, 160
LADDER = (0.1, 0.3, 1.0, 3.0, 10.0)
START = 2  # in the ladder, with its neighbours
SCORING = ScoreSettings(validation_examples=32, test_examples=128, ranked_examples=0, batch_size=32)
CHANGED = 1e-7  # of a weight; below, a map is as it was

Result = dict[str, Any]


def main() -> int:
    """Do what is not done yet, print the table; 1 where a method beats the base nowhere."""
    options = _parse()
    done: dict[str, Result] = {}
    if options.output.exists():
        done = {_key(one): one for one in json.loads(options.output.read_text())["runs"]}
    todo = [
        (name, task)
        for name in options.methods or METHODS
        for task in options.tasks
        if not _is_done(name, task, done)
    ]
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        waiting = [
            pool.submit(climb, name, options.data / f"{task}.jsonl", done) for name, task in todo
        ]
        for number, future in enumerate(as_completed(waiting), start=1):
            done |= {_key(one): one for one in future.result()}
            _keep(options.output, done)
            print(f"{number} of {len(todo)}", file=sys.stderr)
    best = best_runs(done.values())
    _print(best, options.tasks)
    return 1 if any(max(_gains(of_method)) <= 0 for of_method in best.values()) else 0


def climb(method: str, file: Path, done: dict[str, Result]) -> list[Result]:
    """Return the runs of a method on a task: the ladder climbed until its best is inside."""
    torch.set_num_threads(1)
    splits = load(Source(group=file.stem, file=file))
    found: dict[int, Result] = {}

    def visit(place: int) -> None:
        if 0 <= place < len(LADDER) and place not in found:
            key = _key({"method": method, "task": file.stem, "ratio": LADDER[place]})
            found[place] = done.get(key) or try_rate(method, file.stem, splits, LADDER[place])

    for place in (START, START - 1, START + 1):
        visit(place)
    for step in (-1, 1):
        best = min(found, key=lambda place: found[place]["validation_loss"])
        if best == START + step:
            visit(best + step)
    return list(found.values())


def try_rate(method: str, task: str, splits: Splits, ratio: float) -> Result:
    """Return what one run came to."""
    asked = configuration(method, ratio)
    with tempfile.TemporaryDirectory() as folder:
        request = RunRequest(
            base_model=BASE,
            train=splits.train[:EXAMPLES],
            validation=splits.validation,
            test=splits.test,
            configuration=asked,
            device="cpu",
            output_folder=Path(folder) / "adapter",
            evaluations=2,
            scoring=SCORING,
        )
        result = run(request)
        losses = [m.value for m in result.curve if (m.name, m.split) == ("loss", "validation")]
        is_done = result.state == "succeeded" and result.scores is not None
        return {
            "method": method,
            "task": task,
            "ratio": ratio,
            "learning_rate": asked.optimizer.learning_rate,
            "values": asked.method.values,
            "state": result.state,
            "reason": result.reason,
            "validation_loss": min(losses[1:], default=1e9) if is_done else 1e9,
            "gain": result.scores.gain("best") if result.scores else None,
            "train_seconds": result.costs.train_seconds,
            "train_cpu_seconds": result.costs.train_cpu_seconds,
            "peak_tensor_bytes": result.costs.peak_tensor_bytes,
            "trainable_parameters": result.costs.trainable_parameters,
            "effective_rank": effective_rank(request) if is_done else None,
            "versions": result.versions,
        }


def configuration(method: str, ratio: float) -> Configuration:
    """Return the method at its defaults, or where these are too much for the base, as sampled."""
    model, spec = find_model(BASE), METHODS[method]
    asked = Configuration.model_validate(
        {
            "method": {"name": method, **defaults(spec.parameters)},
            "optimizer": {
                "name": "adamw",
                "learning_rate": ratio * usual_rate(method, "adamw", model),
            },
            "schedule": {"name": "linear", "warmup_fraction": 0.05},
            "batch_size": BATCH_SIZE,
            "epochs": EPOCHS,
            "max_length_tokens": LENGTH_TOKENS,
        }
    )
    if exists(asked, model):
        return asked
    rng = np.random.default_rng(0)
    drawn = sample(model, count=1, rng=rng, methods=[method], optimizers=["adamw"])
    return asked.model_copy(update={"method": drawn[0].method})


def effective_rank(request: RunRequest) -> float | None:
    """Return the mean effective rank of what training added to the linear maps, if it merges."""
    asked, folder = request.configuration, request.output_folder
    assert folder is not None
    if not METHODS[asked.method.name].merges:
        return None
    before, after = (load_base(BASE, asked, torch.device("cpu")).model for _ in range(2))
    loaded = load_adapter(after, folder)
    merged = merge(loaded, asked) if hasattr(loaded, "peft_config") else loaded
    new = dict(merged.named_parameters())
    updates = ((new[name] - old).detach().float() for name, old in before.named_parameters())
    ranks = list(_ranks(updates))
    return float(np.mean(ranks)) if ranks else None


def _ranks(updates: Iterator[torch.Tensor]) -> Iterator[float]:
    for update in updates:
        if update.dim() == 2 and float(update.abs().max()) > CHANGED:
            share = torch.linalg.svdvals(update)
            share = share / share.sum()
            yield float(torch.exp(-(share * torch.log(share.clamp_min(1e-30))).sum()))


def best_runs(runs: Sequence[Result] | Any) -> dict[str, dict[str, Result]]:
    """Return by method and task the run of the best rate by validation."""
    best: dict[str, dict[str, Result]] = {}
    for one in runs:
        of_method = best.setdefault(one["method"], {})
        known = of_method.get(one["task"])
        if known is None or one["validation_loss"] < known["validation_loss"]:
            of_method[one["task"]] = one
    return best


def _gains(of_method: dict[str, Result]) -> list[float]:
    return [one["gain"] if one["gain"] is not None else 0.0 for one in of_method.values()]


def _is_done(method: str, task: str, done: dict[str, Result]) -> bool:
    """Say whether the ladder was climbed; its ends are reached only from their neighbours."""
    found = {
        place
        for place, ratio in enumerate(LADDER)
        if _key({"method": method, "task": task, "ratio": ratio}) in done
    }
    return {START - 1, START, START + 1} <= found


def _key(one: Result) -> str:
    return f"{one['method']} {one['task']} {one['ratio']:g}"


def _keep(output: Path, done: dict[str, Result]) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    settings = {"base": BASE, "examples": EXAMPLES, "epochs": EPOCHS, "batch_size": BATCH_SIZE}
    runs = [done[key] for key in sorted(done)]
    partial = output.with_suffix(".partial")
    partial.write_text(json.dumps({"settings": settings, "runs": runs}, indent=1) + "\n")
    partial.replace(output)


def _print(best: dict[str, dict[str, Result]], tasks: Sequence[str]) -> None:
    columns = "".join(f"{task[:18]:>20}" for task in tasks)
    print(f"{'method':<22}{columns}{'mean':>8}{'CPU s':>8}{'MiB':>8}{'weights':>10}{'rank':>8}")
    order = sorted(best, key=lambda name: -float(np.mean(_gains(best[name]))))
    for name in order:
        runs = best[name]
        cells = "".join(f"{_cell(runs.get(task)):>20}" for task in tasks)
        ranks = [one["effective_rank"] for one in runs.values() if one["effective_rank"]]
        weights = max(one["trainable_parameters"] for one in runs.values())
        print(
            f"{name:<22}{cells}{np.mean(_gains(runs)):>8.3f}"
            f"{np.mean([one['train_cpu_seconds'] for one in runs.values()]):>8.1f}"
            f"{np.mean([one['peak_tensor_bytes'] for one in runs.values()]) / 2**20:>8.1f}"
            f"{weights:>10,}{np.mean(ranks) if ranks else float('nan'):>8.1f}"
        )


def _cell(one: Result | None) -> str:
    if one is None:
        return "-"
    gain = one["gain"]
    return f"{gain:+.3f} at {one['ratio']:g}" if gain is not None else one["state"]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Every PEFT method on three real tasks.")
    here = Path(__file__).parent
    parser.add_argument("--data", type=Path, required=True, help="folder of TASK.jsonl")
    parser.add_argument("--output", type=Path, default=here / "results" / "methods.json")
    parser.add_argument("--methods", nargs="*", choices=list(METHODS), metavar="NAME")
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), metavar="TASK")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
