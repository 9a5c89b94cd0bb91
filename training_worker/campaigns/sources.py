"""The datasets of a campaign, each at several sizes.

A size keeps the held-out part of the others, but for questions about facts: these are asked about
the facts that the size teaches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from metadata.errors import InvalidRequest
from metadata.examples import Splits, read_examples, split_examples
from metadata.features.dataset import profile_dataset
from metadata.records import DatasetProfile
from training_worker.tasks.datasets import DATASETS, build_dataset, in_file_order

SIZES = (40, 200, 1_000)  # examples to train on, beside all that there are
GENERATED_EXAMPLES = 5_000  # all of a generated dataset
VALIDATION_EXAMPLES, TEST_EXAMPLES = 64, 200
GENERATED = "generated"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the examples of one dataset come from; `file` is None for a generated one."""

    group: str
    file: Path | None = None

    @property
    def kind(self) -> str:
        """Name the generator, which others may share; a file is of a kind of its own."""
        return self.group if self.file else DATASETS[generated_name(self)].kind


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


def load(source: Source) -> Splits:
    """Return a dataset at its largest size."""
    return examples_of(sizes(source)[-1])


def sizes(source: Source) -> list[Sized]:
    """Return the dataset at each size that it has examples for, all of them last."""
    whole = GENERATED_EXAMPLES if source.file is None else len(_read(source.file).train)
    counts = sorted({min(size, whole) for size in (*SIZES, whole)})
    return [Sized(source=source, size=count) for count in counts]


def examples_of(sized: Sized) -> Splits:
    """Return the examples of one size, the held-out parts cut to what a campaign scores."""
    splits = _at_size(sized)
    return Splits(
        train=splits.train,
        validation=splits.validation[:VALIDATION_EXAMPLES],
        test=splits.test[:TEST_EXAMPLES],
    )


@cache  # small; asked for by every base model
def profile(sized: Sized) -> DatasetProfile:
    """Return the profile of a whole file of which `size` examples are trained on.

    All datasets of one generator are one group: who knows one knows something of the others.
    """
    source, examples = sized.source, in_file_order(_at_size(sized))
    group = source.group if source.file else f"{GENERATED}-{source.kind}"
    return profile_dataset(examples, name=sized.name, group=group)


def generated_name(source: Source) -> str:
    """Return what the generators call a dataset."""
    return source.group.removeprefix(f"{GENERATED}-")


@lru_cache(maxsize=4)  # a process works through a dataset's runs one after the other
def _at_size(sized: Sized) -> Splits:
    """Return the first examples of a file, or as many generated ones."""
    if sized.source.file is None:
        return build_dataset(generated_name(sized.source), train_examples=sized.size)
    whole = _read(sized.source.file)
    return Splits(train=whole.train[: sized.size], validation=whole.validation, test=whole.test)


@lru_cache(maxsize=4)
def _read(file: Path) -> Splits:
    with file.open("rb") as lines:
        return split_examples(tuple(read_examples(lines)))
