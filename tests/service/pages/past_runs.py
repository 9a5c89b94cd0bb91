"""A past run for the pages to show."""

from datetime import UTC, datetime, timedelta

from metadata.features.model import find_model
from metadata.records import (
    Choice,
    Configuration,
    Costs,
    DatasetProfile,
    Device,
    Lengths,
    Measurement,
    OptimizerChoice,
    Origin,
    Run,
    Scores,
    Task,
)


def make_run(number: int, *, dataset: str = "weeks", method: str = "lora") -> Run:
    values = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.0} if method == "lora" else {}
    lengths = Lengths(mean=20.0, p50=20, p90=30, p99=40, max=50)
    return Run(
        id=f"run-page-{number:03}",
        task=Task(
            model=find_model("peftwise-tiny"),
            dataset=DatasetProfile(
                name=dataset,
                group="ab" * 32,
                sha256="ab" * 32,
                kind="generation",
                examples=60,
                prompt_bytes=lengths,
                completion_bytes=lengths,
                distinct_words=50,
                repeated_word_fraction=0.5,
                distinct_completions=50,
                completion_entropy_bits=5.0,
                duplicate_fraction=0.0,
                compression_ratio=0.5,
            ),
            device=Device(
                name="CPU",
                kind="cpu",
                memory_bytes=2**34,
                bf16_tflops=0.1,
                bandwidth_gb_per_second=20.0,
                launch_microseconds=5.0,
            ),
        ),
        configuration=Configuration(
            method=Choice(name=method, **values),
            optimizer=OptimizerChoice(name="adamw", learning_rate=4e-3),
        ),
        state="succeeded",
        curve=tuple(
            Measurement(name="loss", step=step, value=3.0 - step / 100, split="validation")
            for step in (0, 20, 40, 60, 80)
        ),
        scores=Scores(base_loss=3.0, best_loss=2.2, last_loss=2.3, exact_match=0.25),
        costs=Costs(
            train_seconds=21.0,
            eval_seconds=2.0,
            train_cpu_seconds=20.0,
            eval_cpu_seconds=2.0,
            peak_tensor_bytes=48 * 2**20,
            peak_device_bytes=400 * 2**20,
            trained_tokens=12_000,
            steps=80,
            trainable_parameters=20_000,
        ),
        origin=Origin(source="test"),
        created_at=datetime(2030, 1, 1, tzinfo=UTC) + timedelta(minutes=number),
    )
