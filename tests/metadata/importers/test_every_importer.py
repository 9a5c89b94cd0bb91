"""Every importer of the table, on a sample of its source: valid runs with lasting ids."""

import csv
import json
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metadata.importers import IMPORTERS
from metadata.records import Run
from metadata.runs_file import SHIPPED_RUNS, read_runs, write_runs

ROWS = [
    {"model": "gpt2", "method": "lora", "rank": 2**n, "lr": 1e-4, "seed": n, "accuracy": n / 10}
    for n in range(10)
]
LORA = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "lora_dropout": 0.0,
        "base_model_name_or_path": "gpt2", "target_modules": ["c_attn"]}  # fmt: skip


def write_json(folder: Path, **files: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


def peftwise(folder: Path) -> int:
    write_runs(folder / "runs.parquet", read_runs(SHIPPED_RUNS)[:10])
    return 10


def peft_comparison(folder: Path) -> int:
    config = {"model_id": "gpt2", "batch_size": 4, "optimizer_kwargs": {"lr": 1e-4}, "seed": 0}
    points = [{"step": 250 * n, "train loss": 1 / n} for n in range(1, 10)]
    run = {"created_at": "2026-01-01T00:00:00+00:00", "train_config": config, "peft_config": LORA}
    trained = {"status": "success", "train_time": 60.0, "metrics": points}
    write_json(folder, one={"run_info": run, "train_info": trained, "meta_info": {}})
    return 1


def huggingface_trainer(folder: Path) -> int:
    log = [{"step": n, "loss": 1 / n, "learning_rate": 1e-4} for n in range(1, 11)]
    state = {"global_step": 10, "max_steps": 10, "epoch": 1.0, "log_history": log}
    write_json(folder / "out", trainer_state=state, adapter_config=LORA)
    return 1


def wandb(folder: Path) -> int:
    for number in range(2):
        inner = folder / f"run-{number}" / "files"
        inner.mkdir(parents=True)
        (inner / "wandb-summary.json").write_text(json.dumps({"_step": 5, "eval/loss": number}))
        (inner / "config.yaml").write_text("model_name: {value: gpt2}\nlora_r: {value: 8}\n")
    return 2


def results_folder(folder: Path) -> int:
    points = [{"step": n, "loss": 1 / n, "elapsed_time_min": n} for n in range(1, 11)]
    write_json(folder / "lora-all", adapter_config=LORA, metrics_lora=points,
               eval_results={"accuracy": 0.5})  # fmt: skip
    return 1


def mlflow(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "mlflow.db")) as store:
        store.executescript((Path(__file__).parent / "mlflow_store.sql").read_text())
    return 3


def csv_table(folder: Path) -> int:
    with (folder / "runs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(ROWS[0]))
        writer.writeheader()
        writer.writerows(ROWS)
    return 10


def parquet(folder: Path) -> int:
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "runs.parquet")
    return 10


SAMPLES: Mapping[str, Callable[[Path], int]] = {
    "peftwise": peftwise, "peft_comparison": peft_comparison,
    "huggingface_trainer": huggingface_trainer, "wandb": wandb, "results_folder": results_folder,
    "mlflow": mlflow, "csv": csv_table, "parquet": parquet,
}  # fmt: skip


def test_every_importer_has_a_sample() -> None:
    assert list(SAMPLES) == list(IMPORTERS)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_found_by_its_own_importer(name: str, tmp_path: Path, take: Any) -> None:
    count = SAMPLES[name](tmp_path)

    taken = take(tmp_path)

    assert taken.report.importers == {name: count}
    assert len({run.id for run in taken.runs}) == count
    for run in taken.runs:
        assert Run.model_validate_json(run.model_dump_json()) == run
        assert name == "peftwise" or run.origin.source == name


@pytest.mark.parametrize("name", SAMPLES)
def test_ids_last_wherever_a_sample_lies_and_who_is_asked(
    name: str, tmp_path: Path, take: Any
) -> None:
    SAMPLES[name](tmp_path)
    shutil.copytree(tmp_path, tmp_path.parent / f"{tmp_path.name}-moved" / "deeper")

    ids = {run.id for run in take(tmp_path).runs}

    moved = take(tmp_path.parent / f"{tmp_path.name}-moved", importer=name)
    assert {run.id for run in moved.runs} == ids


@pytest.mark.parametrize("name", [name for name in SAMPLES if name != "peftwise"])
def test_what_a_source_leaves_open_is_told_in_the_run_and_in_the_report(
    name: str, tmp_path: Path, take: Any
) -> None:
    SAMPLES[name](tmp_path)

    taken = take(tmp_path)

    assert all("task.dataset" in run.origin.gaps for run in taken.runs)
    assert any("left open" in one.what for one in taken.report.guessed)
