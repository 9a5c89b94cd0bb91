"""Every run folder that is at hand, against an independent reading of its files."""

import csv
import json
import random
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from metadata.importers.reading import runs_at
from metadata.importers.report import ImportReport, Intake
from metadata.importers.spec import Given
from metadata.records import Run
from metadata.teaching import teaching

SHARED = Path(__file__).parents[4] / "shared" / "data" / "runs"
pytestmark = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the shared tables of runs are not beside this checkout"
)
SAMPLED = 10
EXPECTED = {  # by hand: rows of the tables, folders with a state, result files
    "tinker_sft_sweep": 377,
    "finetuning_scaling_law": 2 * 30 * 14,  # the column 0 is the base, which is no run
    "glue_lora_rank_scaling": 1050,
    "glue_arch_peft": 252,
    "indic_peft": 54,
    "peft_method_comparison": 48,
    "peft_method_comparison_history": 59,
    "trainer_folders": 35,
    "glue_peft_benchmark": 41,
    "lora_vs_full": 14,
}


@pytest.fixture(scope="module")
def imported() -> dict[str, tuple[list[Run], ImportReport]]:
    return {name: read(SHARED / name) for name in EXPECTED}


def read(path: Path) -> tuple[list[Run], ImportReport]:
    intake = Intake()
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    return list(runs_at(path, given=Given(), intake=intake, now=now)), intake.report()


@pytest.mark.parametrize("folder", EXPECTED)
def test_every_run_of_a_folder_is_taken_once(folder: str, imported: Any) -> None:
    runs, report = imported[folder]

    assert len(runs) == EXPECTED[folder]
    assert len({run.id for run in runs}) == EXPECTED[folder]
    assert report.refused == []


def test_the_counts_are_those_of_the_sources_themselves() -> None:
    def rows(name: str) -> int:
        with (SHARED / name).open(newline="") as file:
            return sum(1 for _ in csv.DictReader(file))

    def files(name: str, pattern: str) -> int:
        return sum(1 for _ in (SHARED / name).rglob(pattern))

    assert {
        "tinker_sft_sweep": rows("tinker_sft_sweep/sft_sweep.csv"),
        "finetuning_scaling_law": 14
        * sum(rows(f"finetuning_scaling_law/{name}.csv") for name in ("flan", "wmt19")),
        "glue_lora_rank_scaling": rows("glue_lora_rank_scaling/results.csv"),
        "glue_arch_peft": rows("glue_arch_peft/results.csv"),
        "indic_peft": rows("indic_peft/experiment_results.csv"),
        "peft_method_comparison": files("peft_method_comparison/MetaMathQA", "*.json")
        + files("peft_method_comparison/image-gen", "*.json"),
        "peft_method_comparison_history": files("peft_method_comparison_history", "*.json"),
        "trainer_folders": files("trainer_folders", "trainer_state.json"),
        "glue_peft_benchmark": files("glue_peft_benchmark", "metrics.json"),
        "lora_vs_full": files("lora_vs_full", "metrics_*.json"),
    } == EXPECTED


def test_ids_are_those_of_the_content_wherever_it_lies(imported: Any, tmp_path: Path) -> None:
    shutil.copytree(SHARED / "trainer_folders", tmp_path / "moved")

    runs, _ = read(tmp_path / "moved")

    assert {run.id for run in runs} == {run.id for run in imported["trainer_folders"][0]}


def test_no_run_keeps_a_path_or_an_address(imported: Any) -> None:
    texts = [
        run.model_dump_json(exclude={"curve"}) for runs, _ in imported.values() for run in runs
    ]

    for text in texts:
        assert not re.search(r"/home/|/root/|C:\\|://|autodl|nfs01", text), text


def test_none_of_them_is_learnt_from_since_all_leave_the_data_open(imported: Any) -> None:
    runs = [run for found, _ in imported.values() for run in found]

    assert all("task.dataset" in run.origin.gaps for run in runs)
    assert teaching(runs) == []


def test_rates_of_a_sweep_are_those_of_its_rows(imported: Any) -> None:
    for run, row in sampled(imported, "tinker_sft_sweep", "sft_sweep.csv"):
        assert run.task.model.id == row["model"]
        assert run.configuration.batch_size == int(row["batch_size"])
        if "," not in row["learning_rate"]:
            assert run.configuration.optimizer.learning_rate == float(row["learning_rate"])
            assert run.configuration.method.values["r"] == int(row["lora_rank"])
        assert run.state == ("succeeded" if row["status"] == "completed" else "diverged")
        if row["test_nll"]:
            assert values_of(run, "nll", "test") == [float(row["test_nll"])]
            assert values_of(run, "nll", "train") == [float(row["train_nll"])]
            assert run.costs is not None
            assert run.costs.train_seconds == 60 * float(row["wall_time_min"])
        assert run.score is None


@pytest.mark.parametrize("table", ["flan.csv", "wmt19.csv"])
def test_losses_by_size_are_those_of_the_cells(imported: Any, table: str) -> None:
    rows = read_csv(SHARED / "finetuning_scaling_law" / table)
    by_detail = {run.origin.detail: run for run in imported["finetuning_scaling_law"][0]}
    rng = random.Random(0)
    for number in rng.sample(range(len(rows)), SAMPLED):
        size = rng.choice([name for name in rows[number] if name.isdigit() and name != "0"])
        run = by_detail[f"{table}, row {number + 2}, column {size}"]
        row = rows[number]

        assert run.task.model.id == row["config name"]
        assert run.task.dataset.examples == int(size)
        assert run.scores is not None
        assert run.scores.base_loss == float(row["0"])
        assert run.scores.last_loss == float(row[size])
        assert run.score == float(row["0"]) - float(row[size])


def test_accuracies_by_rank_are_those_of_the_rows(imported: Any) -> None:
    for run, row in sampled(imported, "glue_lora_rank_scaling", "results.csv"):
        assert (run.task.model.id, run.task.dataset.name) == (row["model"], row["task"])
        assert run.task.dataset.examples == int(row["n"])
        assert run.configuration.method.name == "lora"
        assert run.configuration.method.values["r"] == int(row["rank"])
        assert (run.configuration.seed, run.configuration.epochs) == (
            int(row["seed"]),
            float(row["epochs"]),
        )
        assert values_of(run, "accuracy", "test") == [float(row["accuracy"])]
        assert run.costs is not None
        assert run.costs.trainable_parameters == int(row["trainable_params"])


def test_accuracies_by_method_are_those_of_the_rows(imported: Any) -> None:
    for run, row in sampled(imported, "glue_arch_peft", "results.csv"):
        assert run.task.model.id == row["model_id"]
        assert run.configuration.method.name == row["method"]
        assert run.task.dataset.examples == int(row["sample_size"])
        assert values_of(run, "accuracy", "test") == [float(row["accuracy"])]
        assert values_of(run, "collapsed", "test") == [float(row["collapsed"] == "True")]


def test_costs_by_budget_are_those_of_the_rows(imported: Any) -> None:
    for run, row in sampled(imported, "indic_peft", "experiment_results.csv"):
        assert run.configuration.optimizer.learning_rate == float(row["lr"])
        assert run.task.dataset.examples == int(row["budget"])
        assert values_of(run, "macro_f1", "test") == [float(row["macro_f1"])]
        assert run.costs is not None
        assert run.costs.train_seconds == float(row["training_time_sec"])
        assert run.costs.peak_device_bytes == round(2**30 * float(row["peak_gpu_memory_gb"]))
        assert run.configuration.schedule.warmup_fraction == pytest.approx(
            int(row["warmup_steps"]) / int(row["total_steps"])
        )


@pytest.mark.parametrize("folder", ["peft_method_comparison", "peft_method_comparison_history"])
def test_results_of_the_comparison_are_those_of_the_files(imported: Any, folder: str) -> None:
    paths = {path.name: path for path in sorted((SHARED / folder).rglob("*--*.json"))}
    by_name = {run.origin.detail: run for run in imported[folder][0]}
    for name in random.Random(1).sample(sorted(paths), SAMPLED):
        run, said = by_name[name], json.loads(paths[name].read_text())
        info, trained = said["run_info"], said["train_info"]
        last = trained["metrics"][-1]

        assert run.task.model.id == info["train_config"]["model_id"]
        optimizer = info["train_config"]["optimizer_kwargs"]
        assert run.configuration.optimizer.learning_rate == optimizer["lr"]
        assert run.configuration.optimizer.weight_decay == optimizer.get("weight_decay", 0.0)
        for parameter, value in run.configuration.method.values.items():
            if run.configuration.method.name != "bdlora":
                assert info["peft_config"].get(parameter, value) == value
        assert run.costs is not None
        assert run.costs.train_seconds == trained["train_time"]
        memory = trained.get("accelerator_memory_max", trained.get("cuda_memory_max"))
        assert run.costs.peak_device_bytes == memory
        assert run.costs.trainable_parameters == (trained.get("num_trainable_params") or 0)
        for theirs, name_of in (("test accuracy", "accuracy"), ("test dino_similarity",) * 2):
            ours = name_of.removeprefix("test ")
            assert values_of(run, ours, "test") == ([last[theirs]] if theirs in last else [])
        losses = [one["train loss"] for one in trained["metrics"] if "train loss" in one]
        assert values_of(run, "loss", "train") == losses


def test_states_of_trainers_are_those_of_the_files(imported: Any) -> None:
    by_name = {run.origin.detail: run for run in imported["trainer_folders"][0]}
    names = sorted(path.name for path in (SHARED / "trainer_folders").iterdir())
    for name in random.Random(2).sample(names, SAMPLED):
        folder = SHARED / "trainer_folders" / name
        run = by_name[f"trainer_state.json of {name}"]
        state = json.loads((folder / "trainer_state.json").read_text())
        log = state["log_history"]
        adapter = folder / "adapter_config.json"

        assert run.configuration.epochs == state["epoch"]
        assert values_of(run, "loss", "train") == [one["loss"] for one in log if "loss" in one]
        of_eval = [one["eval_loss"] for one in log if "eval_loss" in one]
        assert values_of(run, "loss", "validation")[: len(of_eval)] == of_eval
        if adapter.is_file():
            said = json.loads(adapter.read_text())
            assert run.configuration.method.values["r"] == said["r"]
            assert run.task.model.id == said["base_model_name_or_path"].rpartition("/hf")[2] or (
                said["base_model_name_or_path"].endswith(run.task.model.id)
            )
        summary = [one for one in log if "train_runtime" in one]
        if summary:
            assert run.costs is not None
            assert run.costs.train_seconds == summary[-1]["train_runtime"]
            assert run.costs.steps == state["global_step"]
        is_whole = state["global_step"] >= state["max_steps"] or bool(summary)
        assert run.state == ("succeeded" if is_whole else "failed")


def test_metrics_of_a_benchmark_are_those_of_its_folders(imported: Any) -> None:
    folders = sorted(path.parent for path in (SHARED / "glue_peft_benchmark").rglob("metrics.json"))
    runs = {
        (run.task.model.id, run.task.dataset.name, run.configuration.seed, seconds(run)): run
        for run in imported["glue_peft_benchmark"][0]
    }
    for folder in random.Random(3).sample(folders, SAMPLED):
        metrics = json.loads((folder / "metrics.json").read_text())
        model, task, method, seed = folder.parts[-4:]
        took = metrics["efficiency_metrics"]["training_time_seconds"]
        run = runs[model, task, int(seed.removeprefix("seed")), took]
        log = read_csv(folder / "train_log.csv")

        assert run.configuration.method.name == {"prefix": "prefix_tuning"}.get(method, method)
        for name, value in metrics["official_metrics"].items():
            assert value in values_of(run, name, "test")
        assert run.costs is not None
        peak = metrics["efficiency_metrics"]["peak_vram_mb"]
        assert run.costs.peak_device_bytes == round(peak * 2**20)
        trainable = metrics["parameter_metrics"]["trainable_parameters"]
        assert run.costs.trainable_parameters == trainable
        assert values_of(run, "loss", "train") == [float(r["loss"]) for r in log if r["loss"]]


def test_curves_of_scripts_are_those_of_their_files(imported: Any) -> None:
    by_name = {run.origin.detail: run for run in imported["lora_vs_full"][0]}
    for name in random.Random(4).sample(sorted(by_name), SAMPLED):
        folder, run = SHARED / "lora_vs_full" / name, by_name[name]
        rows = json.loads(next(folder.glob("metrics_*.json")).read_text())

        losses = [row["loss"] for row in rows if isinstance(row.get("loss"), float)]
        assert values_of(run, "loss", "train") == losses
        assert run.costs is not None
        assert seconds(run) == pytest.approx(60 * max(r["elapsed_time_min"] for r in rows))
        assert run.configuration.method.name == ("full" if "fullft" in name else "lora")
        if (folder / "eval_results.json").is_file():
            results = json.loads((folder / "eval_results.json").read_text())
            for metric in {"accuracy", "perplexity"} & results.keys():
                assert values_of(run, metric, "test") == [results[metric]]


def seconds(run: Run) -> float:
    assert run.costs is not None
    return run.costs.train_seconds


def sampled(imported: Any, folder: str, name: str) -> list[tuple[Run, dict[str, str]]]:
    rows = read_csv(SHARED / folder / name)
    by_detail = {run.origin.detail: run for run in imported[folder][0]}
    numbers = random.Random(5).sample(range(len(rows)), SAMPLED)
    return [(by_detail[f"{name}, row {number + 2}"], rows[number]) for number in numbers]


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def values_of(run: Run, name: str, split: str) -> list[float]:
    return [point.value for point in run.curve if (point.name, point.split) == (name, split)]
