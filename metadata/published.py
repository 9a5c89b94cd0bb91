"""Published figures: what others measured, each with its source, as far as a reader would quote it.

Figures are differences and ratios within one source; scores of different sources are never
compared. `benchmarks/published.py` computes the whole file again from the source tables.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from math import isclose
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from metadata.errors import InvalidRequest
from metadata.methods import METHODS
from metadata.records import Name, Positive, Record

PUBLISHED_FILE = Path(__file__).parent / "data" / "published.csv"
SHOWN_CHARACTERS = 60
Text = Annotated[str, Field(max_length=300)]


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What a figure says, and its unit."""

    unit: str
    text: str


ACCURACY, TIMES, NATS = "accuracy", "times", "nats per token"
MEANINGS: Mapping[str, Meaning] = {
    "accuracy_difference": Meaning(
        unit=ACCURACY, text="accuracy of a method minus that of LoRA on the same data"
    ),
    "accuracy_repeat_range": Meaning(
        unit=ACCURACY, text="highest minus lowest accuracy of the same configuration run again"
    ),
    "step_time_ratio": Meaning(unit=TIMES, text="seconds of a step over those of LoRA"),
    "peak_memory_ratio": Meaning(unit=TIMES, text="peak of device memory over that of LoRA"),
    "best_rate": Meaning(
        unit="learning rate", text="rate tried with the lowest test loss; range: the rates beside"
    ),
    "diverged_rate": Meaning(unit="learning rate", text="lowest rate at which a run diverged"),
    "loss_at_third_rate": Meaning(
        unit=NATS, text="test loss at a third of the best rate minus that at the best"
    ),
    "loss_at_triple_rate": Meaning(
        unit=NATS, text="test loss at three times the best rate minus that at the best"
    ),
    "loss_of_rank": Meaning(
        unit=NATS, text="test loss at a rank minus that at the largest tried, each at its best rate"
    ),
    "rank_accuracy_difference": Meaning(
        unit=ACCURACY, text="accuracy of LoRA at a rank minus that at rank 8"
    ),
    "accuracy_gain": Meaning(
        unit=ACCURACY, text="accuracy with so many examples minus that with the fewest tried"
    ),
    "scaling_exponent": Meaning(
        unit="exponent", text="beta of the rectified scaling law, B / (D_l + D^beta) + E"
    ),
    "transition_examples": Meaning(
        unit="examples", text="where the rectified law's power phase begins, D_l^(1 / beta)"
    ),
}


class Figure(Record):
    """One published figure; a range lies around its value and is named by `over`."""

    figure: Name
    method: Name | None = None
    model: Name | None = None
    family: Name | None = None
    parameters: Positive | None = None
    hidden_size: Positive | None = None
    rank: Positive | None = None
    examples: Positive | None = None
    task: Text = ""
    condition: Text = ""
    reference: Text = ""
    value: float
    unit: Name
    low: float | None = None
    high: float | None = None
    over: Text = ""
    runs: Positive
    source: Name
    file: Name
    commit: Name
    licence: Name

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        meaning = MEANINGS.get(self.figure)
        if meaning is None or meaning.unit != self.unit:
            raise ValueError(f"no figure {self.figure} in {self.unit}")
        if self.method is not None and self.method not in METHODS:
            raise ValueError(f"no method {self.method}")
        return self

    @model_validator(mode="after")
    def _is_within_its_range(self) -> Self:
        low = self.value if self.low is None else self.low
        high = self.value if self.high is None else self.high
        if not (_at_most(low, self.value) and _at_most(self.value, high)):
            raise ValueError(f"{self.value} is not between {self.low} and {self.high}")
        if (self.low is None and self.high is None) == bool(self.over):
            raise ValueError("a range says what it is over")
        return self


def published(figure: str, *, path: Path = PUBLISHED_FILE, **wanted: object) -> tuple[Figure, ...]:
    """Return the figures of one name, in the order of the file.

    Args:
        figure: A name of `MEANINGS`.
        path: Another file of figures.
        wanted: Columns and the values they must have, such as `method="dora"` or `rank=16`.

    Raises:
        InvalidRequest: There is no such figure or column; the message lists near ones.
    """
    _check_name(figure, MEANINGS, "figure")
    for column in wanted:
        _check_name(column, Figure.model_fields, "column")
    return tuple(
        one
        for one in read_figures(path)
        if one.figure == figure
        and all(getattr(one, column) == value for column, value in wanted.items())
    )


@lru_cache(maxsize=4)
def read_figures(path: Path = PUBLISHED_FILE) -> tuple[Figure, ...]:
    """Return all figures of a file.

    Raises:
        InvalidRequest: A row is no figure; the message names its line.
    """
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(_figure(row, line) for line, row in enumerate(csv.DictReader(file), start=2))


def write_figures(path: Path, figures: tuple[Figure, ...]) -> None:
    """Write figures as a table, one row each; an empty cell stands for what is not known."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(Figure.model_fields), lineterminator="\n")
        writer.writeheader()
        writer.writerows(one.model_dump() for one in figures)


def _figure(row: dict[str, str], line: int) -> Figure:
    try:
        return Figure.model_validate({name: value for name, value in row.items() if value != ""})
    except ValidationError as error:
        raise InvalidRequest(
            f"Line {line} of published figures must be a figure with a known name, unit and "
            f"source: {error.errors()[0]['msg']}. Make the file again with benchmarks/published.py."
        ) from None


def _at_most(small: float, large: float) -> bool:
    return small <= large or isclose(small, large, rel_tol=1e-3)  # each is rounded by itself


def _check_name(name: str, known: Mapping[str, object], kind: str) -> None:
    if name in known:
        return
    near = get_close_matches(name, known, n=3) or sorted(known)
    raise InvalidRequest(
        f"A published {kind} has one of the known names, got {name[:SHOWN_CHARACTERS]!r}. "
        f"Try {', '.join(near)}.",
        param=kind,
    )
