"""How long it takes to cost many candidates at once, and one by one, warm, on one core.

    python benchmarks/costing_speed.py [--count 10000] [--json FILE]

A few hundred configurations are drawn from the whole space and varied to as many as asked. They are
planned for `meta-llama/Llama-3.2-3B` on one `NVIDIA L40S`. Wall clock is the best of several
repeats; processor time is their median, which a busy machine changes less.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from metadata.columns import fastest_plans, make_columns, plans
from metadata.examples import Example
from metadata.features.dataset import profile_dataset
from metadata.features.device import find_device
from metadata.features.model import find_model
from metadata.footprint import plan
from metadata.records import Configuration, Task
from metadata.space import sample

DRAWN = 300
ONE_BY_ONE = 1000  # the time of one is the same for more
REPEATS = 15
TARGET_MILLISECONDS = 50.0
MODULES = ("qv", "qk", "attention", "mlp", "all-linear")


def main() -> int:
    """Measure, print a table, write JSON where asked; 1 where the target is missed."""
    arguments = _parse()
    task, rng = _task(), np.random.default_rng(0)
    drawn = sample(task.model, count=DRAWN, rng=rng)
    candidates = [_varied(drawn[n % len(drawn)], rng) for n in range(arguments.count)]
    columns, few = make_columns(candidates), candidates[:ONE_BY_ONE]
    found = {
        "plans of columns": _measure(lambda: plans(columns, task)),
        "with and without checkpointing": _measure(lambda: fastest_plans(columns, task)),
        "making the columns": _measure(lambda: make_columns(candidates)),
        "one by one": _measure(
            lambda: [plan(one, task) for one in few], times=arguments.count / len(few), repeats=3
        ),
    }
    _print(found, count=arguments.count, groups=len(columns.groups))
    if arguments.json is not None:
        result = {"milliseconds": found, "count": arguments.count, "target": TARGET_MILLISECONDS}
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if found["plans of columns"]["wall"] <= TARGET_MILLISECONDS else 1


def _task() -> Task:
    texts = [Example(None, f"question {n} " * (2 + n % 60), "answer " * 9) for n in range(1000)]
    return Task(
        model=find_model("meta-llama/Llama-3.2-3B"),
        dataset=profile_dataset(texts, name="questions"),
        device=find_device("NVIDIA L40S"),
    )


def _varied(configuration: Configuration, rng: np.random.Generator) -> Configuration:
    return configuration.model_copy(
        update={
            "target_modules": str(rng.choice(MODULES)),
            "batch_size": 2 ** int(rng.integers(8)),
            "epochs": float(rng.uniform(0.5, 8.0)),
            "max_length_tokens": 2 ** int(rng.integers(6, 12)),
            "precision": str(rng.choice(["fp32", "bf16"])),
            "loss_on": str(rng.choice(["completion", "all"])),
            "packing": bool(rng.integers(2)),
        }
    )


def _measure(
    run: Callable[[], object], *, times: float = 1.0, repeats: int = REPEATS
) -> dict[str, float]:
    """Return milliseconds, multiplied where only a part was run."""
    walls, cpus = [], []
    run()
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        walls.append(1000 * times * (time.perf_counter() - wall))
        cpus.append(1000 * times * (time.process_time() - cpu))
    return {"wall": min(walls), "cpu": median(cpus)}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How long costing many candidates takes.")
    parser.add_argument("--count", type=int, default=10_000, help="candidates, at least 1")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args()


def _print(found: dict[str, dict[str, float]], *, count: int, groups: int) -> None:
    print(f"{count} candidates in {groups} groups")
    print(f"{'':<32}{'wall ms':>9}{'cpu ms':>9}")
    for name, figures in found.items():
        print(f"{name:<32}{figures['wall']:>9.1f}{figures['cpu']:>9.1f}")
    print(f"target: plans of columns in {TARGET_MILLISECONDS:.0f} ms")


if __name__ == "__main__":
    sys.exit(main())
