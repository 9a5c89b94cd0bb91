"""Figures of PEFT's own method comparison: accuracy, step time and memory beside LoRA's.

Runs are compared with those of the same versions of PEFT and torch only: between versions accuracy
moves by 0.02, as much as between methods. Accuracy is held against plain LoRA of rank 10 on the
MLP, which has as many trained weights as the comparison's rank 32 on queries and values (9 M); time
and memory against rank 64 on queries and values, the modules of nearly all methods there. That run
scales by rsLoRA's rule; its step is LoRA's.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from operator import sub, truediv
from pathlib import Path
from typing import Any

from published_sources import Source, find_source, grouped

from metadata.published import Figure

MODEL = {
    "model": "meta-llama/Llama-3.2-3B",
    "family": "llama",
    "parameters": 3_212_749_824,
    "hidden_size": 3072,
}
IMAGE_MODEL: dict[str, Any] = {"model": "black-forest-labs/FLUX.2-klein-base-4B", "family": "flux2"}
LANGUAGE = "peft_method_comparison/MetaMathQA"
TASK = "MetaMathQA to GSM8K"
PLAIN_LORA = "lora--llama-3.2-3B-rank10-target-mlp"
SAME_MODULES = "lora--llama-3.2-3B-rank64-rslora"
IMAGE_LORA = "lora--flux2-klein-rank64"
MLP_RUNS = (PLAIN_LORA, "lora--llama-3.2-3B-rank14-target-mlp-bdlora")
NOT_OURS = ("adamss", "frod", "lily")  # methods that our table lacks
# Names of files whose first word is not the method of our table.
METHODS_OF_FILES = {
    "full-finetuning": "full",
    "adaptionprompt": "adaption_prompt",
    "prefixtuning": "prefix_tuning",
    PLAIN_LORA: "lora",
    SAME_MODULES: "rslora",
    MLP_RUNS[1]: "bdlora",
    "lora--llama-3.2-3B-rank32-dora": "dora",
    "miss--llama-3.2-3B-bat": "miss_bat",
}
# What a repeat must share with the run that is in the comparison today.
SAME_SETTINGS = ("batch_size", "max_steps", "seed", "use_gc", "optimizer_kwargs")
Row = dict[str, Any]


def comparison_figures(runs: Path) -> Iterator[Figure]:
    """Yield the figures of MetaMathQA on Llama-3.2-3B."""
    source = find_source(runs, LANGUAGE, file="method_comparison/MetaMathQA/results")
    earlier = runs / "peft_method_comparison_history" / "MetaMathQA" / "results"
    rows = list(_rows(source.folder)) + list(_rows(earlier))
    by_name = {name: _repeats(found) for (name,), found in grouped(rows, "name")}
    for name, found in by_name.items():
        if found[0]["method"] not in NOT_OURS:
            yield from _accuracy(source, name, found, by_name[PLAIN_LORA])
            base = PLAIN_LORA if name in MLP_RUNS[1:] else SAME_MODULES
            yield from _costs(source, found, by_name[base], rank=10 if base == PLAIN_LORA else 64)


def image_figures(runs: Path) -> Iterator[Figure]:
    """Yield step time and memory of methods that were measured on an image model only.

    Its scores are not of language, and a method's costs there are not what they are here.
    """
    source = find_source(
        runs, "peft_method_comparison/image-gen", file="method_comparison/image-gen/results"
    )
    on_language = {row["method"] for row in _rows(runs / LANGUAGE)}
    rows = {row["name"]: row for row in _rows(source.folder)}
    lora = rows.pop(IMAGE_LORA)
    for row in rows.values():
        if row["method"] in NOT_OURS or row["method"] in on_language:
            continue
        for name, key in (("step_time_ratio", "step_seconds"), ("peak_memory_ratio", "peak_bytes")):
            yield source.figure(
                name,
                row[key] / lora[key],
                **IMAGE_MODEL,
                method=row["method"],
                rank=row["rank"],
                condition=f"{row['name']}; one L40S, checkpointing, torch {row['torch']}",
                reference=f"lora r=64 on the same modules, torch {lora['torch']}",
                task="images of a subject",
                runs=1,
            )


def _rows(folder: Path) -> Iterator[Row]:
    for file in sorted(folder.glob("*.json")):
        said = json.loads(file.read_text(encoding="utf-8"))
        run, trained = said["run_info"], said["train_info"]
        versions, last = said["meta_info"]["package_info"], trained["metrics"][-1]
        name = file.stem.partition("__")[0]
        first = name.partition("--")[0]
        torch = versions["torch-version"].partition("+")[0]
        peak = trained.get("accelerator_memory_max") or trained["cuda_memory_max"]
        yield {
            "name": name,
            "method": METHODS_OF_FILES.get(name) or METHODS_OF_FILES.get(first, first),
            "rank": _rank(run["peft_config"] or {}),
            "rate": run["train_config"]["optimizer_kwargs"]["lr"],
            "accuracy": last.get("test accuracy"),
            "step_seconds": _step_seconds(trained["metrics"]),
            "peak_bytes": peak,
            "settings": [run["train_config"].get(key) or False for key in SAME_SETTINGS],
            "made": datetime.fromisoformat(run["created_at"]),
            "versions": (versions["peft-version"], torch),
            "torch": torch,
        }


def _rank(adapter: Row) -> int | None:
    rank = adapter.get("target_r", adapter.get("r"))  # AdaLoRA ends at its target, r is not read
    return rank if isinstance(rank, int) and rank > 0 else None


def _step_seconds(metrics: Sequence[Row]) -> float:
    """Return seconds of training a step: intervals leave evaluation out."""
    seconds = sum(one["train time"] for one in metrics if "train time" in one)
    return float(seconds / max(one["step"] for one in metrics))


def _repeats(rows: Sequence[Row]) -> list[Row]:
    """Return today's run and those before it that were run the same way."""
    return [row for row in rows if row["settings"] == rows[0]["settings"]]


def _accuracy(
    source: Source, name: str, found: Sequence[Row], lora: Sequence[Row]
) -> Iterator[Figure]:
    columns = _columns(found[0])
    pairs = _of_pairs(found, lora, "accuracy", sub)
    if name != PLAIN_LORA:
        yield source.mean(
            "accuracy_difference",
            pairs,
            over="repeats",
            reference="lora r=10 on the MLP, same library versions",
            runs=len(pairs),
            **columns,
        )
    if len(found) > 1:
        accuracies = [row["accuracy"] for row in found]
        yield source.figure(
            "accuracy_repeat_range", max(accuracies) - min(accuracies), runs=len(found), **columns
        )


def _costs(
    source: Source, found: Sequence[Row], lora: Sequence[Row], *, rank: int
) -> Iterator[Figure]:
    if found[0]["name"] == lora[0]["name"]:
        return
    modules = "the MLP" if rank == 10 else "queries and values"
    for name, key in (("step_time_ratio", "step_seconds"), ("peak_memory_ratio", "peak_bytes")):
        pairs = _of_pairs(found, lora, key, truediv)
        yield source.mean(
            name,
            pairs,
            over="repeats",
            reference=f"lora r={rank} on {modules}, same library versions",
            runs=len(pairs),
            **_columns(found[0]),
        )


def _of_pairs(
    found: Sequence[Row], base: Sequence[Row], key: str, compared: Callable[[float, float], float]
) -> list[float]:
    """Return each run beside that run of the base, of the same versions, nearest in time.

    Days apart, the same versions once took a third longer: another machine, or a busy one.
    """
    pairs = []
    for row in found:
        same = [one for one in base if one["versions"] == row["versions"]]
        if same:
            nearest = min(same, key=lambda one: abs(one["made"] - row["made"]))
            pairs.append(compared(row[key], nearest[key]))
    return pairs


def _columns(row: Row) -> Row:
    return {
        **MODEL,
        "method": row["method"],
        "rank": row["rank"],
        "examples": 20_000,  # 5,000 steps of 4
        "task": TASK,
        "condition": f"{row['name']}; rate {row['rate']:g}, batches of 4, 5,000 steps, bf16",
    }
