"""How well a step's memory and time are told without running it.

    python benchmarks/costs.py --runs FOLDER --cache FOLDER [--only runs steps] [--json FILE]

*Runs*: the results of PEFT's method comparison in FOLDER (Llama-3.2-3B in bf16, batches of 4, on
one L40S), one JSON file each. Their peak of memory beside the simulated one at the longest batch
that they allow, with nothing fitted, and at the one length that fits them best; their seconds a
step with constants of the device fitted on the other method families. Peers on the same runs:
weights, gradients and the optimizer's state alone; the mean of the other runs; LightGBM on columns
of the configs, leaving one run out; accelerate's and DeepSpeed's own estimators, where installed.

*Steps*: real steps on this CPU, three families with random weights by ten methods, checkpointing on
and off: measured peak of live tensors beside the simulated one.

Simulated steps are kept in the cache folder. The result is 1 where a target is missed.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from accelerate.commands.estimate import estimate_training_usage
from costs_of_steps import STEP_ERROR, print_steps, real_steps

from metadata.arrays import Floats
from metadata.features.device import find_device
from metadata.records import Configuration
from metadata.simulated import SimulatedStep
from metadata.step_time import expected_constants, fit_constants, step_seconds, work_of
from training_worker.simulation.cache import simulate_once
from training_worker.simulation.question import Question
from training_worker.simulation.recorder import FROM_HOST

BATCH_SIZE, LONGEST_TOKENS, DEVICE = 4, 768, "NVIDIA L40S"
# Mean tokens of a padded batch: 4 texts of MetaMathQA, sorted within 20 batches.
MEAN_TOKENS = 270
# What a GPU reads of ordinary, pageable host memory; PCIe 4.0 with 16 lanes has 32e9 at most.
HOST_BYTES_PER_SECOND = 6e9
LLAMA_3B = {
    "model_type": "llama",
    "vocab_size": 128256,
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_hidden_layers": 28,
    "num_attention_heads": 24,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": True,
}
# targets: (largest mean error, furthest under) of memory; (mean, median) of time
MEMORY_MEAN, MEMORY_UNDER, TIME_MEAN, TIME_MEDIAN = 0.02, -0.05, 0.10, 0.04
SOURCE = "measured figures: huggingface/peft, method_comparison/MetaMathQA, Apache-2.0"
UNKEPT = ("adapter", "columns")  # stand in the result files
Row = dict[str, Any]


def main() -> int:
    """Measure what is asked for, print it, keep it as JSON; 1 where a target is missed."""
    options = _parse()
    start, result, missed = time.perf_counter(), Row(), []
    if "runs" in options.only:
        result["runs"] = rows = [_run(file, options.cache) for file in _files(options.runs)]
        result["memory"], result["time"] = memory(rows), times(rows, options.cache)
        _print_runs(rows, result)
        result["source"] = SOURCE
        result["runs"] = [{key: row[key] for key in row if key not in UNKEPT} for row in rows]
        missed += _missed_of_runs(result)
    if "steps" in options.only:
        result["steps"] = steps = list(real_steps(options.cache))
        print_steps(steps)
        worst = max(abs(step["error"]) for step in steps)
        missed += [f"real steps {worst:.1%}"] if worst > STEP_ERROR else []
    result["seconds"] = round(time.perf_counter() - start, 1)
    print(f"targets missed: {', '.join(missed) or 'none'}; {result['seconds']} s")
    if options.json is not None:
        kept = json.loads(options.json.read_text()) if options.json.exists() else {}
        options.json.write_text(json.dumps(kept | result, indent=1) + "\n")
    return bool(missed)


def _files(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.json"))
    if not files:
        raise SystemExit(f"--runs must be a folder of result files, got {folder}. Check the path.")
    return files


def _run(file: Path, cache: Path) -> Row:
    """Return what a run was and measured, and what is simulated of it."""
    said = json.loads(file.read_text(encoding="utf-8"))
    adapter, trained = said["run_info"]["peft_config"], said["train_info"]
    intervals = [one["train time"] for one in trained["metrics"] if "train time" in one]
    steps = max(one["step"] for one in trained["metrics"])
    longest, mean = (_simulated(adapter, length, cache) for length in (LONGEST_TOKENS, MEAN_TOKENS))
    sys.stderr.write(f"{file.stem}\n")
    return {
        "run": file.stem,
        "family": file.stem.partition("--")[0],
        "peft_type": (adapter or {}).get("peft_type", "full"),
        "columns": _columns(adapter, trained["num_trainable_params"]),
        "peak_bytes": trained["accelerator_memory_max"],
        "simulated_bytes": longest.peak_tensor_bytes,
        "simulated_bytes_at_mean": mean.peak_tensor_bytes,
        "total": trained["num_total_params"],
        "trainable": trained["num_trainable_params"],
        "simulated_trainable": longest.trainable,
        "step_seconds": sum(intervals) / steps,
        "operations": mean.operation_count,
        "notes": list(longest.notes),
        "adapter": adapter,
    }


def _simulated(adapter: Any, length: int, cache: Path) -> SimulatedStep:
    configuration = Configuration.model_validate(
        {
            "method": {"name": "full"},
            "optimizer": {"name": "adamw", "learning_rate": 1e-4},
            "precision": "bf16",
        }
    )
    question = Question(
        model=LLAMA_3B,
        configuration=configuration,
        adapter=adapter,
        micro_batch_size=BATCH_SIZE,
        length_tokens=length,
        loss="model",
    )
    return simulate_once(question, folder=cache)


def _columns(adapter: Any, trainable_weights: int) -> list[float]:
    """Return what is plain to see of a config: weights, a rank, targets, where they are."""
    said = adapter or {}
    targets = said.get("target_modules") or []
    names = targets if isinstance(targets, list) else [targets]
    in_mlp = any("gate" in name or "up_" in name or "down" in name for name in names)
    rank = said.get("r") or said.get("num_virtual_tokens") or 0
    rank = rank if isinstance(rank, int) else 0
    return [float(np.log(trainable_weights)), float(rank), float(len(names)), float(in_mlp)]


def memory(rows: Sequence[Row]) -> Row:
    """Return the errors of every way to tell the peak."""
    real_R = np.array([row["peak_bytes"] for row in rows], dtype=float)
    at_longest_R = np.array([row["simulated_bytes"] for row in rows], dtype=float)
    at_mean_R = np.array([row["simulated_bytes_at_mean"] for row in rows], dtype=float)
    said = {"simulated, nothing fitted": at_longest_R}
    tokens, said_R = _best_length(real_R, at_mean_R, at_longest_R)
    said[f"simulated, {tokens} tokens"] = said_R
    said["weights, gradients, state"] = np.array([_state_bytes(row) for row in rows])
    said["mean of the others"] = (real_R.sum() - real_R) / (len(rows) - 1)
    said["LightGBM, one left out"] = _boosted(rows, real_R)
    said |= {name: np.array([of(row) for row in rows]) for name, of in _estimators().items()}
    counts = sum(row["trainable"] == row["simulated_trainable"] for row in rows)
    errors = {name: _errors(said_R / real_R - 1) for name, said_R in said.items()}
    return {"errors": errors, "counts_exact": counts, "runs": len(rows)}


def _best_length(real_R: Floats, at_mean_R: Floats, at_longest_R: Floats) -> tuple[int, Floats]:
    """Return the one length that fits all runs best, and their peaks there: linear in tokens."""

    def peaks(tokens: int) -> Floats:
        share = (tokens - MEAN_TOKENS) / (LONGEST_TOKENS - MEAN_TOKENS)
        return at_mean_R + share * (at_longest_R - at_mean_R)

    every = range(LONGEST_TOKENS // 2, LONGEST_TOKENS + 1)
    best = min(every, key=lambda tokens: float(np.abs(peaks(tokens) / real_R - 1).mean()))
    return best, peaks(best)


def _state_bytes(row: Row) -> float:
    """Return bytes of weights, gradients and AdamW's state, an adapter's in fp32, the rest bf16."""
    if row["adapter"] is None:
        return 8.0 * row["total"]
    return 2.0 * (row["total"] - row["trainable"]) + 16.0 * row["trainable"]


def _boosted(rows: Sequence[Row], real_R: Floats) -> Floats:
    columns_RF = np.array([row["columns"] for row in rows])
    said_R = np.empty(len(rows))
    for left_out in range(len(rows)):
        is_seen_R = np.arange(len(rows)) != left_out
        model = lightgbm.LGBMRegressor(
            n_estimators=100, num_leaves=7, min_child_samples=3, random_state=0, verbose=-1
        )
        model.fit(columns_RF[is_seen_R], np.log(real_R[is_seen_R]))
        said_R[left_out] = np.exp(model.predict(columns_RF[[left_out]])[0])
    return said_R


def _estimators() -> dict[str, Callable[[Row], float]]:
    """Return the estimators of others; both know a model's weights, and no adapters."""

    def of_accelerate(row: Row) -> float:
        base = row["total"] - (row["trainable"] if row["adapter"] else 0)
        return float(max(estimate_training_usage(4 * base, "bfloat16").values()))

    found: dict[str, Callable[[Row], float]] = {"accelerate estimate-memory": of_accelerate}
    try:
        from deepspeed.runtime.zero import stage_1_and_2 as zero  # an optional peer
    except ImportError:
        print("DeepSpeed is not installed: its estimator is left out", file=sys.stderr)
        return found

    def of_deepspeed(row: Row) -> float:
        _, device_bytes = zero.estimate_zero2_model_states_mem_needs(
            row["total"], num_gpus_per_node=1, num_nodes=1, cpu_offload=False
        )
        return float(device_bytes)

    return found | {"DeepSpeed, ZeRO 2 on one GPU": of_deepspeed}


def times(rows: Sequence[Row], cache: Path) -> Row:
    """Return errors of seconds a step, constants fitted without the run's method family."""
    expected = expected_constants(find_device(DEVICE))
    steps = [_simulated(row["adapter"], MEAN_TOKENS, cache) for row in rows]
    works = [work_of(step) for step in steps]
    host_R = np.array([_host_seconds(step) for step in steps])
    for row, work, host in zip(rows, works, host_R, strict=True):
        others = [number for number, one in enumerate(rows) if one["family"] != row["family"]]
        constants = fit_constants(
            [works[number] for number in others],
            [rows[number]["step_seconds"] - host_R[number] for number in others],
            expected=expected,
        )
        row["simulated_seconds"] = host + step_seconds(work, constants)
        row["expected_seconds"] = host + step_seconds(work, expected)
    return {
        "constants of other families": _time_errors(rows, "simulated_seconds"),
        "the data sheet alone": _time_errors(rows, "expected_seconds"),
        "mean of the others": _errors(_others(rows) / _column(rows, "step_seconds") - 1),
    }


def _host_seconds(step: SimulatedStep) -> float:
    """Return the seconds of copies from the host, which the device waits for."""
    copies = [one for one in step.operations if one.name == FROM_HOST]
    return sum(one.count * one.bytes_moved for one in copies) / HOST_BYTES_PER_SECOND


def _others(rows: Sequence[Row]) -> Floats:
    seconds_R = _column(rows, "step_seconds")
    others_R: Floats = (seconds_R.sum() - seconds_R) / (len(rows) - 1)
    return others_R


def _time_errors(rows: Sequence[Row], name: str) -> Row:
    return _errors(_column(rows, name) / _column(rows, "step_seconds") - 1)


def _column(rows: Sequence[Row], name: str) -> Floats:
    return np.array([row[name] for row in rows], dtype=float)


def _errors(error_R: Floats) -> Row:
    size_R = np.abs(error_R)
    return {
        "mean": float(size_R.mean()),
        "median": float(np.median(size_R)),
        "worst": float(error_R[size_R.argmax()]),
        "furthest_under": float(min(0.0, error_R.min())),
    }


def _missed_of_runs(result: Row) -> list[str]:
    plain = result["memory"]["errors"]["simulated, nothing fitted"]
    time_errors = result["time"]["constants of other families"]
    is_missed = {
        f"memory mean {plain['mean']:.1%}": plain["mean"] > MEMORY_MEAN,
        f"memory under {plain['furthest_under']:.1%}": plain["furthest_under"] < MEMORY_UNDER,
        "counts": result["memory"]["counts_exact"] < result["memory"]["runs"],
        f"time mean {time_errors['mean']:.1%}": time_errors["mean"] > TIME_MEAN,
        f"time median {time_errors['median']:.1%}": time_errors["median"] > TIME_MEDIAN,
    }
    return [name for name, holds in is_missed.items() if holds]


def _print_runs(rows: Sequence[Row], result: Row) -> None:
    print(f"{'run':<52}{'GiB':>7}{'said':>7}{'error':>8}{'s/step':>8}{'said':>7}{'error':>8}")
    for row in rows:
        peak, said = row["peak_bytes"], row["simulated_bytes"]
        seconds, told = row["step_seconds"], row["simulated_seconds"]
        print(
            f"{row['run'][:50]:<52}{peak / 2**30:>7.2f}{said / 2**30:>7.2f}{said / peak - 1:>+8.1%}"
            f"{seconds:>8.3f}{told:>7.3f}{told / seconds - 1:>+8.1%}"
            f"{'' if row['trainable'] == row['simulated_trainable'] else '  count differs'}"
        )
    for title, errors in (("memory", result["memory"]["errors"]), ("time", result["time"])):
        print(f"\n{title:<38}{'mean':>8}{'median':>8}{'worst':>9}")
        for name, error in errors.items():
            print(f"{name:<38}{error['mean']:>8.1%}{error['median']:>8.1%}{error['worst']:>+9.1%}")
    exact, count = result["memory"]["counts_exact"], result["memory"]["runs"]
    print(f"\ncounts of trained weights exact: {exact} of {count}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How well memory and time are told.")
    parser.add_argument("--runs", type=Path, help="folder with the results of PEFT's comparison")
    parser.add_argument("--cache", type=Path, required=True, help="folder for simulated steps")
    parser.add_argument("--only", nargs="+", choices=("runs", "steps"), default=["runs", "steps"])
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    if "runs" in options.only and options.runs is None:
        parser.error("--runs must name a folder, or leave runs out with --only steps")
    return options


if __name__ == "__main__":
    sys.exit(main())
