"""A task as numbers: what of its data and base model can matter for quality, the device not."""

from math import log2

import numpy as np
from numpy.typing import NDArray

from metadata.examples import TRAIN_SHARE
from metadata.records import DatasetKind, DatasetProfile, ModelProfile, Task

KINDS: tuple[DatasetKind, ...] = ("classification", "extraction", "generation", "text")
DATASET_FEATURES = (
    "log2_examples",
    "log2_prompt_tokens",
    "log2_completion_tokens",
    "log2_completion_spread",
    "log2_distinct_completions",
    "completion_entropy_bits",
    "completion_entropy_share",
    "log2_distinct_words",
    "repeated_word_fraction",
    "duplicate_fraction",
    "compression_ratio",
    *(f"kind_{kind}" for kind in KINDS),
    "has_probe",
    "probe_loss_mean",
    "probe_loss_spread",
)
MODEL_FEATURES = (
    "log2_parameters",
    "log2_hidden_size",
    "log2_layers",
    "log2_vocabulary",
    "tied_embeddings",
)
TASK_FEATURES: tuple[str, ...] = (
    *DATASET_FEATURES,
    *MODEL_FEATURES,
    "log2_target_tokens",
    "log2_target_tokens_per_parameter",
)


def describe_task(task: Task) -> NDArray[np.float64]:
    """Return the meta-features of a task, in the order of `TASK_FEATURES`; all are finite.

    Sizes are logarithms to base 2; tokens follow from bytes by the model's tokenizer. Unknown
    probe values are 0, which `has_probe` tells apart.
    """
    target_tokens = training_examples(task.dataset) * completion_tokens(task)
    features = (
        *_dataset(task.dataset, task.model),
        *_model(task.model),
        log2(target_tokens),
        log2(target_tokens / task.model.parameters),
    )
    return np.array(features, dtype=np.float64)


def training_examples(dataset: DatasetProfile) -> int:
    """Return how many examples of a file are trained on; the rest validates and tests."""
    return trained_on(dataset.examples)


def trained_on(examples: int) -> int:
    """Return how many of so many examples in a file are trained on."""
    return max(1, round(TRAIN_SHARE * examples))


def prompt_tokens(task: Task) -> float:
    """Return the usual number of tokens before a completion, at least 1."""
    return max(1.0, task.dataset.prompt_bytes.mean / task.model.bytes_per_token)


def completion_tokens(task: Task) -> float:
    """Return the usual number of tokens to learn in an example, its end token among them."""
    return 1.0 + task.dataset.completion_bytes.mean / task.model.bytes_per_token


def _dataset(dataset: DatasetProfile, model: ModelProfile) -> tuple[float, ...]:
    prompt, completion, probe = dataset.prompt_bytes, dataset.completion_bytes, dataset.probe
    return (
        log2(dataset.examples),
        log2(1 + prompt.mean / model.bytes_per_token),
        log2(1 + completion.mean / model.bytes_per_token),
        log2((completion.p90 + 1) / (completion.p50 + 1)),
        log2(dataset.distinct_completions),
        dataset.completion_entropy_bits,
        dataset.completion_entropy_bits / max(1.0, log2(dataset.examples)),
        log2(1 + dataset.distinct_words),
        dataset.repeated_word_fraction,
        dataset.duplicate_fraction,
        dataset.compression_ratio,
        *(float(dataset.kind == kind) for kind in KINDS),
        float(probe is not None),
        probe.loss_mean if probe else 0.0,
        probe.loss_spread if probe else 0.0,
    )


def _model(model: ModelProfile) -> tuple[float, ...]:
    return (
        log2(model.parameters),
        log2(model.hidden_size),
        log2(model.layers),
        log2(model.vocabulary),
        float(model.tied_embeddings),
    )
