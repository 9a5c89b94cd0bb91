"""The datasets of a campaign, each at two sizes, with held-out parts that no size changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from metadata.errors import InvalidRequest
from metadata.examples import TRAIN_SHARE, Example, Splits, read_examples, split_examples
from metadata.features.dataset import profile_dataset
from metadata.records import DatasetProfile
from training_worker.tasks.datasets import DATASETS, build_dataset

SMALL_EXAMPLES = 40
LARGE_EXAMPLES = range(80, 501)  # as many as `LARGE_BYTES` hold
LARGE_BYTES = 10_000  # of text in one pass, about 4,000 tokens of a small vocabulary
LONGEST_BYTES = 640  # of one example that count, about 256 tokens of a small vocabulary
VALIDATION_EXAMPLES, TEST_EXAMPLES = 32, 128
GENERATED = "generated"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the examples of one dataset come from; `file` is None for a generated one."""

    group: str
    file: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Sized:
    """A dataset at one size; `size` counts the examples to train on."""

    source: Source
    size: int

    @property
    def name(self) -> str:
        """Name the dataset and its size."""
        return f"{self.source.group}-{self.size}"


def find_sources(data: Path | None, names: Sequence[str] = ()) -> list[Source]:
    """Return the datasets of a folder and the generated ones, or those named.

    Raises:
        InvalidRequest: The folder holds no *.jsonl, or a name is not there.
    """
    files = [] if data is None else sorted(data.glob("*.jsonl"))
    if data is not None and not files:
        raise InvalidRequest(
            f"--data must hold *.jsonl files of examples, {data.name!r} holds none. "
            "Name another folder, or leave it out for generated datasets only.",
            param="data",
        )
    sources = [Source(group=file.stem, file=file) for file in files]
    sources += [Source(group=f"{GENERATED}-{name}") for name in DATASETS]
    known = {source.group: source for source in sources}
    for name in names:
        if name not in known:
            raise InvalidRequest(
                f"--datasets must name some of {', '.join(known)}; got {name!r}.", param="datasets"
            )
    return [known[name] for name in names] if names else sources


@lru_cache(maxsize=4)  # a process works through a dataset's runs one after the other
def load(source: Source) -> Splits:
    """Return all examples of a dataset, the held-out parts cut to what a campaign scores."""
    splits = _read(source)
    return Splits(
        train=splits.train,
        validation=splits.validation[:VALIDATION_EXAMPLES],
        test=splits.test[:TEST_EXAMPLES],
    )


def sizes(source: Source) -> list[Sized]:
    """Return the dataset at its small and its large size; at one where it is short."""
    train = load(source).train
    mean = sum(min(_bytes(example), LONGEST_BYTES) for example in train) / len(train)
    large = min(max(round(LARGE_BYTES / mean), LARGE_EXAMPLES.start), LARGE_EXAMPLES.stop - 1)
    counts = sorted({min(SMALL_EXAMPLES, len(train)), min(large, len(train))})
    return [Sized(source=source, size=count) for count in counts]


def examples_of(sized: Sized) -> Splits:
    """Return the examples of one size: the first of the training part, all held-out ones."""
    splits = load(sized.source)
    return Splits(train=splits.train[: sized.size], validation=splits.validation, test=splits.test)


def profile(sized: Sized) -> DatasetProfile:
    """Return the profile of a whole file of which `size` examples are trained on."""
    splits = _read(sized.source)
    held_out = round(sized.size * (1 / TRAIN_SHARE - 1))
    validation = splits.validation[: held_out // 2]
    test = splits.test[: held_out - len(validation)]
    return profile_dataset(
        (*splits.train[: sized.size], *validation, *test),
        name=sized.name,
        group=sized.source.group,
    )


def _read(source: Source) -> Splits:
    if source.file is None:
        return build_dataset(source.group.removeprefix(f"{GENERATED}-"))
    with source.file.open("rb") as lines:
        return split_examples(tuple(read_examples(lines)))


def _bytes(example: Example) -> int:
    return len(example.prompt.encode()) + len(example.completion.encode())
