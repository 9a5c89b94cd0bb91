"""Tables: names guessed and mapped, units, sizes as columns, encodings, memory."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metadata.errors import InvalidRequest
from metadata.importers.names import facts_of, names_of
from metadata.importers.vocabulary import FACTS
from metadata.records import DatasetProfile, Lengths
from metadata.teaching import can_teach

LENGTHS = Lengths(mean=20.0, p50=20, p90=30, p99=40, max=50)
DATASET = DatasetProfile(
    name="train.jsonl", group="ab" * 32, sha256="ab" * 32, kind="generation", examples=100,
    prompt_bytes=LENGTHS, completion_bytes=LENGTHS, distinct_words=50,
    repeated_word_fraction=0.5, distinct_completions=5, completion_entropy_bits=2.0,
    duplicate_fraction=0.0, compression_ratio=0.5,
)  # fmt: skip
WHOLE = {
    "model": "gpt2", "method": "lora", "rank": 8, "alpha": 16, "lora_dropout": 0.0,
    "target_modules": "attention", "optimizer": "adamw", "learning_rate": 2e-4,
    "schedule": "linear", "batch_size": 8, "epochs": 3, "max_length_tokens": 256,
    "precision": "fp32", "device": "NVIDIA L40S", "state": "succeeded", "train_seconds": 60,
    "base_loss": 3.0, "best_loss": 2.0, "last_loss": 2.5, "created_at": "2026-01-01T10:00:00Z",
}  # fmt: skip


def write(path: Path, rows: list[dict[str, Any]], delimiter: str = ",", **how: Any) -> Path:
    with path.open("w", newline="", **({"encoding": "utf-8"} | how)) as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_no_two_facts_go_by_the_same_name_of_theirs() -> None:
    theirs = [name for fact in FACTS for name in fact.theirs.split()]

    assert len(theirs) == len(set(theirs))


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_every_fact_is_found_by_its_own_name(fact: Any) -> None:
    value = {"bf16": "true", "fp16": "true", "packing": "true", "gradient_checkpointing": "true"}
    told = facts_of({fact.name: value.get(fact.name, "3" if fact.name not in TEXT else "word")})

    assert fact.ours in told.facts
    assert told.results == {}


TEXT = frozenset(
    {"model", "dataset", "kind", "method", "target_modules", "optimizer", "schedule", "precision",
     "quantization", "device", "state", "reason", "created_at"}
)  # fmt: skip


def test_a_row_that_tells_all_can_be_learnt_from_and_has_a_score(tmp_path: Path, take: Any) -> None:
    taken = take(write(tmp_path / "runs.csv", [WHOLE]), dataset=DATASET)
    run = taken.only

    assert run.score == 0.5  # the last checkpoint is kept
    assert run.scores is not None
    assert run.scores.best_loss == 2.0
    assert can_teach(run), run.origin.gaps
    assert run.created_at.isoformat() == "2026-01-01T10:00:00+00:00"


@pytest.mark.parametrize("name", sorted(set(WHOLE) - {"state", "best_loss", "created_at",
                                                      "train_seconds"}))  # fmt: skip
def test_a_row_that_leaves_something_open_says_so(tmp_path: Path, take: Any, name: str) -> None:
    rest = {key: value for key, value in WHOLE.items() if key != name}

    run = take(write(tmp_path / "runs.csv", [rest]), dataset=DATASET).only

    if name in ("base_loss", "last_loss"):
        assert (run.score is None) == (name == "base_loss")
    else:
        assert not can_teach(run)


def test_without_the_data_nothing_is_learnt_whatever_else_is_told(
    tmp_path: Path, take: Any
) -> None:
    run = take(write(tmp_path / "runs.csv", [WHOLE])).only

    assert run.origin.gaps.split(", ")[-1] == "task.dataset"
    assert not can_teach(run)


def test_losses_of_no_base_stay_raw(tmp_path: Path, take: Any) -> None:
    row = {"model": "gpt2", "method": "lora", "test_loss": 1.5, "eval_accuracy": 0.5, "f1": 0.4}

    taken = take(write(tmp_path / "runs.csv", [row]))

    assert taken.only.scores is None
    assert taken.values("loss", "test") == [1.5]
    assert taken.values("accuracy", "validation") == [0.5]
    assert taken.values("f1", "test") == [0.4]


def test_units_of_columns_become_ours(tmp_path: Path, take: Any) -> None:
    row = {"model": "gpt2", "method": "lora", "train_minutes": 2, "peak_vram_mb": 100.5}

    costs = take(write(tmp_path / "runs.csv", [row])).only.costs

    assert (costs.train_seconds, costs.peak_device_bytes) == (120.0, round(100.5 * 2**20))


def test_a_mapping_goes_before_a_guess(tmp_path: Path, take: Any) -> None:
    row = {"net": "gpt2", "how": "dora", "lr": 1.0, "eta": 3e-4, "minutes": 3}
    names = names_of(["model=net", "method = how", "learning_rate=eta", "train_minutes=minutes"])

    taken = take(write(tmp_path / "runs.csv", [row]), names=names)
    run = taken.only

    assert (run.task.model.id, run.configuration.method.name) == ("gpt2", "dora")
    assert run.configuration.optimizer.learning_rate == 3e-4
    assert run.costs.train_seconds == 180.0
    assert taken.values("lr", "test") == [1.0]


@pytest.mark.parametrize(
    ("lines", "words"),
    [(["lr"], "ours=theirs"), (["=x"], "ours=theirs"), (["x="], "ours=theirs")],
)
def test_a_line_that_maps_nothing_is_told(lines: list[str], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        names_of(lines)


def test_a_name_that_is_none_of_ours_is_told_with_near_ones(tmp_path: Path, take: Any) -> None:
    path = write(tmp_path / "runs.csv", [WHOLE])

    with pytest.raises(InvalidRequest, match="learning_rate"):
        take(path, names={"learning_rat": "lr"})


def test_each_size_column_is_a_run_scored_against_the_column_of_none(
    tmp_path: Path, take: Any
) -> None:
    row = {"model": "gpt2", "0": 4.0, "100": 3.0, "200": 2.5, "family": "GPT"}

    taken = take(write(tmp_path / "news.csv", [row]))

    assert [(run.task.dataset.examples, run.score) for run in taken.runs] == [
        (100, 1.0),
        (200, 1.5),
    ]
    assert {run.task.dataset.group for run in taken.runs} == {"csv: news"}
    assert len({run.task.dataset.sha256 for run in taken.runs}) == 2


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_usual_forms_of_csv_are_read(
    tmp_path: Path, take: Any, delimiter: str, encoding: str
) -> None:
    row = {"model": "gpt2", "method": "lora", "dataset": "Übung", "accuracy": 0.5}
    path = write(tmp_path / "runs.csv", [row], delimiter=delimiter, encoding=encoding)

    run = take(path).only

    assert (run.task.model.id, run.task.dataset.name) == ("gpt2", "Übung")


def test_rows_before_a_bad_byte_are_kept_and_the_byte_is_told(tmp_path: Path, take: Any) -> None:
    path = tmp_path / "runs.csv"
    rows = b"".join(b"gpt2,lora,%d\n" % n for n in range(1500))
    path.write_bytes(b"model,method,seed\n" + rows + b"gpt2,\xe9\xe9,1\n")

    taken = take(path)

    assert 0 < len(taken.runs) <= 1500
    assert "UTF-8" in taken.report.refused[0].reason


def test_the_same_row_twice_is_one_run_and_another_name_of_the_file_none(
    tmp_path: Path, take: Any
) -> None:
    first = take(write(tmp_path / "a.csv", [WHOLE, WHOLE]))
    second = take(write(tmp_path / "b.csv", [WHOLE]))

    assert {run.id for run in first.runs} == {run.id for run in second.runs}


def test_csv_and_parquet_of_the_same_rows_say_the_same(tmp_path: Path, take: Any) -> None:
    pq.write_table(pa.Table.from_pylist([WHOLE]), tmp_path / "runs.parquet")

    of_parquet = take(tmp_path / "runs.parquet").only
    of_csv = take(write(tmp_path / "runs.csv", [WHOLE])).only

    apart = {"id", "origin", "task"}
    assert of_parquet.model_dump(exclude=apart) == of_csv.model_dump(exclude=apart)


def test_a_table_that_is_not_of_runs_is_refused_once(tmp_path: Path, take: Any) -> None:
    rows = [{"text": f"sentence {n}", "label": n % 2} for n in range(50)]

    taken = take(write(tmp_path / "train.csv", rows))

    assert taken.runs == []
    assert taken.report.refused_count == 1


def test_a_table_as_weights_and_biases_exports_it_is_read(tmp_path: Path, take: Any) -> None:
    row = {
        "Name": "happy-sky-1", "State": "crashed", "Notes": "-", "User": "lovelace", "Tags": "",
        "Created": "2025-06-01T10:00:00.000Z", "Runtime": "1234", "Sweep": "",
        "model_name_or_path": "Qwen/Qwen2.5-0.5B", "lora_r": 16, "learning_rate": 0.0002,
        "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567", "eval/loss": 1.25,
    }  # fmt: skip

    taken = take(write(tmp_path / "wandb_export.csv", [row]))
    run = taken.only

    assert (run.task.model.id, run.state) == ("Qwen/Qwen2.5-0.5B", "failed")
    assert (run.configuration.method.values["r"], run.costs.train_seconds) == (16, 1234.0)
    assert run.created_at.year == 2025
    assert taken.values("loss", "validation") == [1.25]
    assert "lovelace" not in run.model_dump_json()
    assert "0123456789abcdef" not in run.model_dump_json()


def test_a_run_folder_of_weights_and_biases_is_read(tmp_path: Path, take: Any) -> None:
    folder = tmp_path / "run-20250601_100000-ab12cd34" / "files"
    folder.mkdir(parents=True)
    summary = {"_step": 300, "_runtime": 99.5, "_timestamp": 1748772000.0, "train/loss": 1.5,
               "eval/accuracy": 0.75, "_wandb": {"runtime": 99}}  # fmt: skip
    (folder / "wandb-summary.json").write_text(json.dumps(summary))
    (folder / "config.yaml").write_text(
        "wandb_version: 1\n_wandb:\n  value: {cli_version: 0.19}\n"
        "model_name_or_path:\n  desc: null\n  value: gpt2\n"
        "learning_rate:\n  value: 0.0003\nlora_r:\n  value: 4\n"
        "lora:\n  value: {lora_alpha: 8, api_key: hf_abcdefghijklmnop}\n"
    )
    about = {
        "gpu": "NVIDIA A100-SXM4-80GB",
        "gpu_count": 2,
        "startedAt": "2025-06-01T10:00:00Z",
        "email": "lovelace@example.org",
        "host": "engine",
        "root": "/home/lovelace",
    }
    (folder / "wandb-metadata.json").write_text(json.dumps(about))

    taken = take(tmp_path)
    run = taken.only

    assert (run.task.model.id, run.configuration.optimizer.learning_rate) == ("gpt2", 3e-4)
    assert run.configuration.method.values["r"] == 4
    assert run.configuration.method.values["lora_alpha"] == 8
    assert run.costs.train_seconds == 99.5
    assert (run.task.device.name, run.task.device.count) == ("NVIDIA A100 80GB", 2)
    assert taken.values("accuracy", "validation") == [0.75]
    assert taken.values("loss", "train") == [1.5]
    assert run.created_at.isoformat() == "2025-06-01T10:00:00+00:00"
    assert "lovelace" not in run.model_dump_json()
    assert "hf_" not in run.model_dump_json()


MEASURE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from metadata.importers.reading import runs_at
from metadata.importers.report import Intake
from metadata.importers.spec import Given

now, intake = datetime.now(UTC), Intake()
count = sum(1 for _ in runs_at(Path(sys.argv[1]), given=Given(), intake=intake, now=now))
count += intake.refused_count
status = Path("/proc/self/status").read_text()  # getrusage would tell the parent's peak too
print(count, status.partition("VmHWM:")[2].split()[0])
"""


def peak_kib(path: Path) -> tuple[int, int]:
    command = [sys.executable, "-c", MEASURE, str(path)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    count, peak = said.split()
    return int(count), int(peak)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_memory_does_not_grow_with_a_table(tmp_path: Path, kind: str) -> None:
    peaks = {}
    for count in (800, 5600):
        rows = [
            # One in ten is a run: the others are read as it is, and soon refused.
            {
                "model": "gpt2",
                "method": "lora",
                "seed": n,
                "notes": f"{n} " + "x" * 20_000,
                "state": "running" if n % 10 else "finished",
            }
            for n in range(count)
        ]
        path = tmp_path / f"runs-{count}.{kind}"
        if kind == "csv":
            write(path, rows)
        else:
            pq.write_table(
                pa.Table.from_pylist(rows), path, row_group_size=200, use_dictionary=False
            )
        found, peaks[count] = peak_kib(path)
        assert found == count

    assert peaks[5600] - peaks[800] < 60 * 1024  # Arrow keeps some; the table is 96 MB larger
