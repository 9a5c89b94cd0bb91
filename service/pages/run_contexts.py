"""What the pages of past runs are given."""

from dataclasses import dataclass
from typing import ClassVar

from service.pages import charts
from service.pages.contexts import Group, Row
from service.pages.run_columns import Cell
from service.pages.run_query import Asked


@dataclass(frozen=True, kw_only=True)
class Tab:
    """One of the ways to look at the same runs."""

    title: str
    link: str
    is_current: bool


@dataclass(frozen=True, kw_only=True)
class FilterProblem:
    """What is wrong, and where in the text: the word at fault, and what stands on its sides.

    `position` counts characters from 1; it is 0 where the mistake is elsewhere.
    """

    message: str
    field: str = ""
    position: int = 0
    before: str = ""
    at: str = ""
    after: str = ""


@dataclass(frozen=True, kw_only=True)
class FilterForm:
    """The form above every view of runs; `action` is the view, `hidden` what it keeps."""

    action: str
    asked: Asked
    states: tuple[Row, ...]
    methods: tuple[Group, ...]
    hidden: tuple[Row, ...]
    clear_link: str
    problem: FilterProblem | None


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A box that is ticked or not."""

    name: str
    title: str
    is_chosen: bool


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Boxes under a heading."""

    title: str
    choices: tuple[Choice, ...]


@dataclass(frozen=True, kw_only=True)
class ColumnForm:
    """Which columns are shown: by boxes, and by name for those without one."""

    groups: tuple[Choices, ...]
    other: str
    fields: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Heading:
    """A heading that sorts; `sorted_as` is a value of aria-sort, or empty."""

    title: str
    field: str
    link: str
    sorted_as: str
    is_number: bool


@dataclass(frozen=True, kw_only=True)
class RunLine:
    """One run in the table; `name` tells it apart for those who hear the page."""

    id: str
    link: str
    name: str
    is_chosen: bool
    cells: tuple[Cell, ...]
    tags: tuple[str, ...] = ()
    has_note: bool = False
    is_archived: bool = False


@dataclass(frozen=True, kw_only=True)
class Undo:
    """What was just done, and the runs for which it can be undone."""

    message: str
    ids: tuple[str, ...]
    move: str


@dataclass(frozen=True, kw_only=True)
class RunsPage:
    """The table of past runs."""

    template: ClassVar[str] = "runs.html"
    section: ClassVar[str] = "runs"

    title: str
    tabs: tuple[Tab, ...]
    form: FilterForm
    columns: ColumnForm
    headings: tuple[Heading, ...]
    lines: tuple[RunLine, ...]
    total: str
    chosen_elsewhere: tuple[str, ...]
    most_chosen: int
    first_link: str
    previous_link: str
    next_link: str
    downloads: tuple[Row, ...]
    view_query: str
    undo: Undo | None = None


@dataclass(frozen=True, kw_only=True)
class NoteForm:
    """What is said of a run, or was typed and cannot be kept for the reason in `problem`."""

    action: str
    note: str = ""
    tags: str = ""
    known_tags: tuple[str, ...] = ()
    is_archived: bool = False
    archive_action: str = ""
    delete_action: str = ""
    problem: str = ""
    done: str = ""


@dataclass(frozen=True, kw_only=True)
class RunPage:
    """One run with its curve and all its values."""

    template: ClassVar[str] = "run.html"
    section: ClassVar[str] = "runs"

    title: str
    id: str
    sentence: str
    state: str
    state_kind: str
    reason: str
    figures: tuple[Row, ...]
    chart: charts.CurveChart | None
    points: tuple[tuple[str, str, str, str], ...]
    left_out: str
    groups: tuple[Group, ...]
    related: tuple[Row, ...]
    json_link: str
    form: NoteForm


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """A column of the comparison; `series` numbers its colour from 1."""

    id: str
    title: str
    detail: str
    link: str
    without_link: str
    series: int


@dataclass(frozen=True, kw_only=True)
class ComparedRow:
    """One field with a cell for each run."""

    title: str
    field: str
    cells: tuple[Cell, ...]
    differs: bool


@dataclass(frozen=True, kw_only=True)
class ComparedGroup:
    """Rows under a heading."""

    title: str
    rows: tuple[ComparedRow, ...]


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A figure for Plotly, and the same as a table.

    Attributes:
        figure: Traces and layout as plain values; names of colours begin with two dashes.
        label: What the figure shows, for those who do not see it.
        note: What was left out, and why.
    """

    id: str
    title: str
    label: str
    figure: dict[str, object] | None
    headings: tuple[Heading, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    size: str = ""  # a class: how high it is


@dataclass(frozen=True, kw_only=True)
class ComparePage:
    """Some runs beside each other."""

    template: ClassVar[str] = "compare.html"
    section: ClassVar[str] = "runs"

    title: str
    runs: tuple[ComparedRun, ...]
    groups: tuple[ComparedGroup, ...]
    shows_all: bool
    other_link: str
    same_count: int
    measures: tuple[Choice, ...]
    hidden: tuple[Row, ...]
    plot: Plot | None
    table_link: str


@dataclass(frozen=True, kw_only=True)
class Select:
    """A choice of one among some, in a form; where `is_open`, any name may be typed."""

    name: str
    label: str
    value: str
    options: tuple[Row, ...]
    is_open: bool = False


@dataclass(frozen=True, kw_only=True)
class ExplorePage:
    """One chart of the runs at hand, with its table."""

    template: ClassVar[str] = "explore.html"
    section: ClassVar[str] = "runs"

    title: str
    lead: str
    tabs: tuple[Tab, ...]
    charts: tuple[Tab, ...]
    form: FilterForm
    selects: tuple[Select, ...]
    figures: tuple[Row, ...]
    plots: tuple[Plot, ...]
