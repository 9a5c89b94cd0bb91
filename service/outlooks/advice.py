"""What to do next about a choice among models, in sentences."""

from typing import Literal

from metadata.model_outlook import Basis

Unit = Literal["byte", "pair"]
UNITS: dict[Unit, str] = {
    "byte": "Losses are per byte, since tokens differ between models.",
    "pair": "Losses are per pair, each model's against its own start, not how well it writes.",
}
OVERLAP = "Where intervals overlap, run the first two on more of the data before deciding."
RISING = (
    "Some losses rise with more examples, which no law tells: there the loss at the largest size "
    "stands. Look at the learning rates of those runs, or add other sizes."
)
BY_SOME = (
    "Some models were never run on this data: they stand last, by size. Train them on a part of it "
    "and give the losses as runs."
)
BY_SIZE = (
    "No run of these models on this data is known, so the larger come first: within a family they "
    "mostly do better."
)
# Halves up to 3,200 examples, as `benchmarks/model_outlook.py` scores them.
MOST, SIZES = 3_200, 3


def advise(bases: list[Basis | None], *, unit: Unit, examples: int) -> str:
    """Say what to do next.

    Args:
        bases: What the forecast of each model stands on, None where there is none.
        unit: What losses are of.
        examples: How many of the data would be trained on.
    """
    if not any(bases):
        return f"{BY_SIZE} {_train_on_parts(examples)}"
    said = [UNITS[unit], OVERLAP]
    if "largest_size" in bases:
        said.append(RISING)
    if None in bases:
        said.append(BY_SOME)
    return " ".join(said)


def _train_on_parts(examples: int) -> str:
    sizes = [min(MOST, examples // 2) // 2**halved for halved in reversed(range(SIZES))]
    if not sizes[0]:
        return "There are too few examples to tell more from parts of them: add some."
    *others, largest = (f"{size:,}" for size in sizes)
    return f"Train each on {', '.join(others)} and {largest} examples and give the losses as runs."
