"""What the page of training data is given."""

from dataclasses import dataclass
from typing import ClassVar

from service.pages.contexts import Group, Problem, Row


@dataclass(frozen=True, kw_only=True)
class BadLine:
    """One line that breaks a rule."""

    place: str
    seen: str
    note: str


@dataclass(frozen=True, kw_only=True)
class BrokenRule:
    """A rule with the lines that break it; `more` counts those that are not shown."""

    name: str
    severity: str
    severity_kind: str
    count: str
    must: str
    fix: str
    lines: tuple[BadLine, ...]
    more: str


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a check found.

    `repaired` leads to a repaired copy, `token` and `keeps` are what its form sends; each is empty
    where there is nothing to download or to keep.
    """

    name: str
    verdict: str
    verdict_kind: str
    figures: tuple[Row, ...]
    rules: tuple[BrokenRule, ...]
    notes: tuple[str, ...]
    repaired: str
    repaired_words: str
    token: str
    keeps: tuple[Row, ...]  # what a button keeps, and what it says


@dataclass(frozen=True, kw_only=True)
class FileLine:
    """One uploaded file."""

    id: str
    name: str
    kind: str
    examples: str
    size: str
    created: str
    created_iso: str
    download: str
    check: str
    delete: str
    profile: Group | None


@dataclass(frozen=True, kw_only=True)
class DataPage:
    """A form to check a file, what the check found, and the files that are here."""

    template: ClassVar[str] = "data.html"
    section: ClassVar[str] = "data"

    title: str
    model: str
    models: tuple[str, ...]
    problem: Problem | None
    checked: Checked | None
    files: tuple[FileLine, ...]
    first_link: str
    next_link: str
