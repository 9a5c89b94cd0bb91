"""Figures of sources that state no licence: to hold ours against, never shipped."""

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from published_sources import find_source, grouped

from metadata.published import Figure

METHODS_OF_FOLDERS = {"prefix": "prefix_tuning_mlp"}  # its prefixes come from an MLP
WAYS = {"fullft": "full", "lora-all": "lora", "lora-attention": "lora"}
Row = dict[str, Any]


def glue_checks(runs: Path) -> Iterator[Figure]:
    """Yield methods beside LoRA on three GLUE tasks, one laptop GPU, one rate for every method."""
    source = find_source(runs, "glue_peft_benchmark", file="results")
    rows = [_glue_row(file) for file in sorted(source.folder.rglob("metrics.json"))]
    for (model, task), found in grouped(rows, "model", "task"):
        means = {
            method: {key: fmean(row[key] for row in tried) for key in ("accuracy", "peak")}
            | {"runs": len(tried)}
            for (method,), tried in grouped(found, "method")
        }
        if "lora" not in means:
            continue
        lora = means.pop("lora")
        for method, values in means.items():
            columns = {"method": method, "model": model, "task": task, "runs": values["runs"]}
            yield source.figure(
                "accuracy_difference",
                values["accuracy"] - lora["accuracy"],
                condition="rate 2e-5 for every method",
                **columns,
            )
            yield source.figure("peak_memory_ratio", values["peak"] / lora["peak"], **columns)


def full_checks(runs: Path) -> Iterator[Figure]:
    """Yield full fine-tuning and LoRA on attention alone beside LoRA on all layers."""
    source = find_source(runs, "lora_vs_full", file="results")
    rows = [row for file in sorted(source.folder.glob("*/eval_results.json")) for row in _way(file)]
    for (task,), found in grouped(rows, "task"):
        on_all = next(row["accuracy"] for row in found if row["way"] == "lora-all")
        for row in found:
            if row["way"] != "lora-all":
                yield source.figure(
                    "accuracy_difference",
                    row["accuracy"] - on_all,
                    method=WAYS[row["way"]],
                    task=task,
                    condition=row["way"],
                    reference="lora r=256 on all layers",
                    runs=1,
                )


def _glue_row(file: Path) -> Row:
    said = json.loads(file.read_text(encoding="utf-8"))
    model, task, method = file.parts[-5:-2]
    return {
        "model": model,
        "task": task,
        "method": METHODS_OF_FOLDERS.get(method, method),
        "accuracy": said["official_metrics"]["accuracy"],
        "peak": said["efficiency_metrics"]["peak_vram_mb"],
    }


def _way(file: Path) -> Iterator[Row]:
    """Yield the accuracy of a run, of those that are scored by it."""
    said = json.loads(file.read_text(encoding="utf-8"))
    if "accuracy" in said:
        way = next(way for way in WAYS if f"-{way}" in file.parent.name)
        task = file.parent.name.partition(f"-{way}")[0]
        yield {"task": task, "way": way, "accuracy": said["accuracy"]}
