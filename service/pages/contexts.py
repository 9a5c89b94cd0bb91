"""What each template is given: finished words and geometry, so that templates only lay out.

Every page is given one of the contexts below as `page`, and `urls`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

from markupsafe import Markup

from service.pages import charts


@dataclass(frozen=True, kw_only=True)
class Row:
    """A name and its value."""

    name: str
    value: str
    link: str = ""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows under a heading."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is wrong in a sentence, and the field of the form at fault."""

    message: str
    field: str = ""


@dataclass(frozen=True, kw_only=True)
class AskForm:
    """The form as it was typed; `file_id` and `file_name` stand for data uploaded before."""

    model: str = ""
    examples: str = ""
    file_id: str = ""
    file_name: str = ""
    device: str = ""
    count: str = "1"
    train_minutes: str = ""
    memory_gib: str = ""
    usd: str = ""
    usd_per_hour: str = ""
    objective: str = "quality"
    serve_with: str = ""

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the fields in order."""
        return tuple(field.name for field in fields(cls))


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the form proposes."""

    models: tuple[str, ...]
    devices: tuple[str, ...]
    objectives: tuple[Row, ...]
    loaders: tuple[Row, ...]


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What one choice changes, in words and as a bar."""

    words: str
    change: str
    bar: charts.EffectBar


@dataclass(frozen=True, kw_only=True)
class NearRun:
    """A past run like this one."""

    dataset: str
    model: str
    regret: str
    score: str
    distance: str
    link: str


@dataclass(frozen=True, kw_only=True)
class Option:
    """One ranked configuration."""

    rank: int
    method: str
    values: str
    targets: str
    rate: str
    batch: str
    epochs: str
    regret: str
    bar: charts.IntervalBar
    beats_default: str
    time: str
    time_range: str
    memory: str
    memory_range: str
    cost: str
    trainable: str
    fits: bool
    pareto: bool
    source: str
    effects: tuple[Effect, ...]
    nearest: tuple[NearRun, ...]
    groups: tuple[Group, ...]
    json: str


@dataclass(frozen=True, kw_only=True)
class FrontLine:
    """A configuration that no candidate beats; `rank` is empty where it is not listed."""

    rank: str
    sentence: str
    regret: str
    time: str
    memory: str
    cost: str


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the answer stands on."""

    in_distribution: bool
    headline: str
    runs: str
    tasks: str
    distance: str
    farthest: tuple[str, ...]
    advice: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to a question; `can_train` says whether the first button is shown."""

    id: str
    question: tuple[Row, ...]
    headline: str
    sentence: str
    summary: str
    best: Option
    options: tuple[Option, ...]
    default: Option
    front: tuple[FrontLine, ...]
    evidence: Evidence
    excluded: tuple[Row, ...]
    knowledge_version: str
    json_link: str
    can_train: bool
    model: str
    file_id: str


@dataclass(frozen=True, kw_only=True)
class AskPage:
    """The form, and below or above it the answer or the problem."""

    template: ClassVar[str] = "ask.html"
    section: ClassVar[str] = "ask"

    title: str
    form: AskForm
    choices: Choices
    runs: str
    problem: Problem | None = None
    answer: Answer | None = None


@dataclass(frozen=True, kw_only=True)
class EstimateForm(AskForm):
    """The form of an estimate as it was typed; `configuration` is JSON, or empty."""

    configuration: str = ""


@dataclass(frozen=True, kw_only=True)
class PhaseLine:
    """The memory of one phase: its peak, then each kind."""

    name: str
    sizes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a run would need; `picture` is SVG of our own making.

    `verdict` says that it fits, or the first limit it is over; `shortfalls` are the others.
    """

    fits: bool
    verdict: str
    sentence: str
    question: tuple[Row, ...]
    figures: tuple[Row, ...]
    picture: Markup
    kinds: tuple[str, ...]
    phases: tuple[PhaseLine, ...]
    shortfalls: tuple[str, ...]
    room: str
    knobs: tuple[str, ...]
    notes: tuple[str, ...]
    groups: tuple[Group, ...]
    json: str
    knowledge_version: str


@dataclass(frozen=True, kw_only=True)
class EstimatePage:
    """The form of an estimate, and below or above it the answer or the problem."""

    template: ClassVar[str] = "estimate.html"
    section: ClassVar[str] = "estimate"

    title: str
    form: EstimateForm
    choices: Choices
    problem: Problem | None = None
    answer: Estimate | None = None


@dataclass(frozen=True, kw_only=True)
class ErrorPage:
    """What went wrong and where to go on."""

    template: ClassVar[str] = "error.html"
    section: ClassVar[str] = ""

    title: str
    status: int
    message: str


def rows(*pairs: tuple[str, str]) -> tuple[Row, ...]:
    """Return rows from pairs, those without a value left out."""
    return tuple(Row(name=name, value=value) for name, value in pairs if value)


def group(title: str, pairs: Sequence[tuple[str, str]]) -> Group:
    """Return a group of rows from pairs."""
    return Group(title=title, rows=rows(*pairs))
