"""Output folders of the Trainer: whole, interrupted, checkpointed, diverged, talkative."""

import json
from pathlib import Path
from typing import Any

import pytest

LORA = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "lora_dropout": 0.0,
        "target_modules": ["v_proj", "q_proj"], "base_model_name_or_path": "gpt2"}  # fmt: skip
ARGUMENTS = {
    "learning_rate": 2e-4, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2,
    "lr_scheduler_type": "cosine", "warmup_ratio": 0.1, "weight_decay": 0.01, "bf16": True,
    "optim": "adamw_torch", "seed": 7, "gradient_checkpointing": True,
}  # fmt: skip


def state(step: int, planned: int, *losses: float, **more: Any) -> dict[str, Any]:
    log: list[dict[str, Any]] = [
        {"step": 10 * n, "epoch": n / 10, "loss": loss, "learning_rate": 1e-4 / n}
        for n, loss in enumerate(losses, start=1)
    ]
    return {"global_step": step, "max_steps": planned, "epoch": 1.5, "log_history": log, **more}


def write(folder: Path, **files: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_all_that_is_told_stands_in_the_run(tmp_path: Path, take: Any) -> None:
    whole = state(20, 20, 2.0, 1.5)
    whole["log_history"] += [
        {"step": 20, "epoch": 1.5, "eval_loss": 1.4, "eval_runtime": 3.0, "eval_accuracy": 0.5},
        {"step": 20, "epoch": 1.5, "train_runtime": 60.0, "train_loss": 1.75},
    ]
    folder = write(
        tmp_path / "out", trainer_state=whole, adapter_config=LORA, training_args=ARGUMENTS
    )

    taken = take(folder)
    run = taken.only

    assert run.task.model.id == "gpt2"
    assert run.configuration.method.model_dump() == {
        "name": "lora", "r": 8, "lora_alpha": 16, "lora_dropout": 0.0,
    }  # fmt: skip
    chosen = run.configuration
    assert chosen.target_modules == "qv"
    assert (chosen.optimizer.name, chosen.optimizer.learning_rate) == ("adamw", 2e-4)
    assert (chosen.schedule.name, chosen.schedule.warmup_fraction) == ("cosine", 0.1)
    assert (chosen.batch_size, chosen.epochs, chosen.precision) == (8, 1.5, "bf16")
    assert (chosen.seed, chosen.gradient_checkpointing) == (7, True)
    assert run.costs is not None
    assert (run.costs.train_seconds, run.costs.eval_seconds, run.costs.steps) == (60.0, 3.0, 20)
    assert taken.values("loss", "train") == [2.0, 1.5]
    assert taken.values("loss", "validation") == [1.4]
    assert taken.values("accuracy", "validation") == [0.5]
    assert taken.values("train_loss", "train") == [1.75]
    assert run.score is None  # no loss of the frozen base


def test_the_last_checkpoint_stands_for_the_run_of_its_folder(tmp_path: Path, take: Any) -> None:
    for step, losses in ((500, [3.0]), (1000, [3.0, 2.0]), (900, [3.0, 2.5])):
        write(tmp_path / "out" / f"checkpoint-{step}", trainer_state=state(step, 2000, *losses),
              adapter_config=LORA)  # fmt: skip

    taken = take(tmp_path / "out")

    assert taken.values("loss", "train") == [3.0, 2.0]
    assert taken.only.state == "failed"
    assert "1,000 of 2,000 steps" in taken.only.reason
    assert "earlier checkpoints of the same run are left aside" in [
        one.what for one in taken.report.guessed
    ]


def test_a_checkpoint_cut_off_while_it_was_written_gives_way_to_the_one_before(
    tmp_path: Path, take: Any
) -> None:
    write(tmp_path / "out" / "checkpoint-500", trainer_state=state(500, 900, 3.0))
    later = write(tmp_path / "out" / "checkpoint-900", trainer_state=state(900, 900, 3.0, 2.0))
    whole = (later / "trainer_state.json").read_text()
    (later / "trainer_state.json").write_text(whole[: len(whole) // 2])

    taken = take(tmp_path / "out")

    assert taken.values("loss", "train") == [3.0]


def test_a_loss_that_is_no_number_at_the_end_is_a_run_that_diverged(
    tmp_path: Path, take: Any
) -> None:
    folder = write(tmp_path / "out", trainer_state=state(20, 20, 2.0, float("nan")))

    taken = take(folder)

    assert taken.only.state == "diverged"
    assert taken.values("loss", "train") == [2.0]


@pytest.mark.parametrize(
    ("samples", "steps", "batch_size"),
    [(37.534, 0.293, 128), (9.279, 0.072, 1), (4.13, 0.258, 16), (1e9, 0.0004, 1)],
    ids=["told", "two would do", "also told", "too rough"],
)
def test_speeds_tell_the_batch_size_only_where_one_alone_agrees(
    tmp_path: Path, take: Any, samples: float, steps: float, batch_size: int
) -> None:
    whole = state(20, 20, 2.0)
    whole["log_history"].append(
        {"step": 20, "train_runtime": 60.0, "train_samples_per_second": samples,
         "train_steps_per_second": steps}
    )  # fmt: skip

    assert take(write(tmp_path / "out", trainer_state=whole)).only.configuration.batch_size == (
        batch_size
    )


def test_result_files_copied_from_a_later_state_do_not_count(tmp_path: Path, take: Any) -> None:
    folder = write(
        tmp_path / "out",
        trainer_state=state(500, 1000, 2.0),
        all_results={"epoch": 3.0, "train_runtime": 99.0, "eval_accuracy": 0.9},
    )

    taken = take(folder)

    assert taken.only.costs is None
    assert taken.values("accuracy", "validation") == []


def test_neither_paths_nor_keys_are_kept(tmp_path: Path, take: Any) -> None:
    folder = write(
        tmp_path / "out",
        trainer_state=state(
            20, 20, 2.0, best_model_checkpoint="/home/lovelace/secret-project/checkpoint-20",
            trial_params={"hub_token": "hf_abcdefghijklmnop"},
        ),
        adapter_config={
            **LORA, "base_model_name_or_path": "/home/lovelace/models/Llama-3.2-1B",
            "prompt_tuning_init_text": "the code is 0000-1234",
        },
        training_args={
            **ARGUMENTS, "output_dir": "/home/lovelace/out", "hub_token": "hf_abcdefghijklmnop",
            "push_to_hub_token": "hf_abcdefghijklmnop", "report_to": "wandb",
            "run_name": "sk-abcdefghijklmnop",
        },
    )  # fmt: skip

    run = take(folder).only
    text = run.model_dump_json()

    assert run.task.model.id == "meta-llama/Llama-3.2-1B"  # by its last part, as a guess
    assert "task.model" in run.origin.gaps
    for secret in ("lovelace", "hf_", "sk-", "0000", str(tmp_path)):
        assert secret not in text


def test_a_model_of_a_windows_cache_is_called_by_its_id(tmp_path: Path, take: Any) -> None:
    cached = (
        r"C:\Users\Ada\.cache\huggingface\hub\models--fnlp--cpt-large\snapshots"
        + "\\"
        + ("f07323ad5818364d47fc17cc4088072cd2f5f46d")
    )
    folder = write(
        tmp_path / "out", trainer_state=state(20, 20, 2.0), config={"_name_or_path": cached}
    )

    assert take(folder).only.task.model.id == "fnlp/cpt-large"
