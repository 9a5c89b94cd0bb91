"""What a rule is: a name, what must hold, what to do, and how to find what breaks it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from metadata.data_check.forms import FORMS, Form
from metadata.data_check.lines import Line
from metadata.data_check.problems import Seen, Severity
from metadata.data_check.sightings import Sighting
from metadata.data_check.tokens import TokenCounter
from metadata.examples import Example

# How far a line must have come to be asked about. A line goes on from bytes when it is text and
# not blank, from text when it is JSON, from value when that is an object, from record when it has
# a form, and from form when nothing found so far forbids to learn from it.
Needs = Literal["bytes", "text", "value", "record", "form", "refusal"]
# How a copy is mended: the line is written as it was meant, or left out.
Repair = Literal["rewrite", "drop"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the rules know besides the file."""

    counter: TokenCounter
    context_tokens: int | None = None  # of the model, where one is named
    has_validation: bool = False  # in a file of its own


@dataclass(frozen=True, kw_only=True)
class Met:
    """An example on its line, with its lengths and what stood before it."""

    line: Line
    example: Example
    tokens: int
    answer_tokens: int
    sighting: Sighting
    options: Options


@dataclass(frozen=True, kw_only=True)
class LineRule:
    """A rule about one line by itself."""

    name: str
    severity: Severity
    needs: Needs
    must: str
    fix: str
    find: Callable[[Line], Iterator[Seen]]
    repair: Repair | None = None
    forms: tuple[Form, ...] = FORMS  # that it is about, where it needs one


@dataclass(frozen=True, kw_only=True)
class ExampleRule:
    """A rule about one example, its lengths and what stood before it."""

    name: str
    severity: Severity
    must: str
    fix: str
    find: Callable[[Met], Iterator[Seen]]
    repair: Repair | None = None


class Watch(Protocol):
    """Looks at a whole file, in bounded memory."""

    def see(self, met: Met) -> Iterator[Seen]:
        """Look at the next example; what is found is of its line."""

    def end(self, last_line: int) -> Iterator[tuple[int, Seen]]:
        """Look back; what is found has a line of its own."""


@dataclass(frozen=True, kw_only=True)
class FileRule:
    """A rule about all examples of a file together."""

    name: str
    severity: Severity
    must: str
    fix: str
    start: Callable[[Options], Watch]
    repair: Repair | None = None


Rule = LineRule | ExampleRule | FileRule
