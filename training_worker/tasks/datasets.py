"""Datasets to fine-tune on, made of invented worlds that no pretraining text tells of.

The same name, seed and size give the same examples. `write_dataset` writes them in the order
train, validation, test, in the shares in which `metadata.examples.split_examples` cuts a file.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from metadata.errors import InvalidRequest
from metadata.examples import Example, Splits
from training_worker.tasks.classification import LABELS
from training_worker.tasks.figures import FIGURES
from training_worker.tasks.notations import NOTATIONS
from training_worker.tasks.passages import PASSAGES
from training_worker.tasks.questions import QUESTIONS
from training_worker.tasks.spec import DatasetSpec
from training_worker.tasks.writing import WRITING

TRAIN_EXAMPLES = 640  # where nothing else is asked for
DATASETS: Mapping[str, DatasetSpec] = {
    spec.name: spec for spec in (*QUESTIONS, *LABELS, *PASSAGES, *FIGURES, *NOTATIONS, *WRITING)
}


def build_dataset(name: str, *, seed: int = 0, train_examples: int = TRAIN_EXAMPLES) -> Splits:
    """Return the examples of a dataset by its name; a KeyError names one that is not there.

    Raises:
        InvalidRequest: The dataset cannot have so many examples to train on.
    """
    spec = DATASETS[name]
    if train_examples not in spec.sizes:
        step = f", in steps of {spec.sizes.step}" if spec.sizes.step > 1 else ""
        raise InvalidRequest(
            f"{name} can have {spec.sizes[0]} to {spec.sizes[-1]} examples to train on{step}; "
            f"got {train_examples}. Choose another number.",
            param="train_examples",
        )
    return spec.make(f"{name}-{seed}", train_examples)


def in_file_order(splits: Splits) -> tuple[Example, ...]:
    """Return a training part and as much of the others as makes 80/10/10 of a file.

    Questions about facts hold out less than that: all of it stands in the file, whose cut then
    leaves some of the last wordings of the training part to validation.
    """
    total = len(splits.train) * 5 // 4
    cut = -(-total * 9 // 10)  # as `split_examples` cuts
    return (
        *splits.train,
        *splits.validation[: cut - len(splits.train)],
        *splits.test[: total - cut],
    )


def write_dataset(path: Path, splits: Splits) -> int:
    """Write a dataset as JSON Lines, in the order of a file; return its lines."""
    examples = in_file_order(splits)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for example in examples:
            file.write(json.dumps(_record(example), ensure_ascii=False) + "\n")
    return len(examples)


def _record(example: Example) -> Mapping[str, object]:
    if example.turns is None:
        return {"prompt": example.prompt, "completion": example.completion}
    return {"messages": [{"role": t.role, "content": t.content} for t in example.turns]}
