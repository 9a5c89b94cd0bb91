"""What an import took, guessed and refused, by file or row."""

from dataclasses import dataclass, field

from metadata.importers.spec import Refused
from metadata.records import Record

MOST_LISTED = 200  # different guesses, and refusals; all are counted
LONGEST = 300


class Guess(Record):
    """What was guessed or left open, of how many runs, and of which first."""

    what: str
    runs: int
    first: str


class Refusal(Record):
    """What was not taken, and why."""

    where: str
    reason: str


class ImportReport(Record):
    """What an import made of a source.

    Attributes:
        found: Runs that were there and could be read.
        importers: How many runs each importer read.
        guessed: Of how many runs what was guessed or left open, the most common first.
        refused: The first refusals; `refused_count` counts all.
        left_aside: Files that no importer knows, the first of them.
    """

    found: int
    importers: dict[str, int]
    guessed: list[Guess]
    refused: list[Refusal]
    refused_count: int
    left_aside: list[str]
    left_aside_count: int


@dataclass(kw_only=True)
class Intake:
    """Counts while runs pass; memory does not grow with them."""

    importers: dict[str, int] = field(default_factory=dict)
    guesses: dict[str, tuple[int, str]] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)
    refused_count: int = 0
    left_aside: list[str] = field(default_factory=list)
    left_aside_count: int = 0

    def take(self, importer: str, label: str, notes: list[str]) -> None:
        """Count a run and what was guessed of it."""
        self.importers[importer] = self.importers.get(importer, 0) + 1
        for note in dict.fromkeys(notes):
            shown = note[:LONGEST]
            if shown not in self.guesses and len(self.guesses) >= MOST_LISTED:
                shown = "more of other kinds"
            count, first = self.guesses.get(shown, (0, label))
            self.guesses[shown] = (count + 1, first)

    def refuse(self, refused: Refused) -> None:
        """Count what is not taken."""
        self.refused_count += 1
        if len(self.refused) < MOST_LISTED:
            self.refused.append(Refusal(where=refused.label, reason=refused.reason[:LONGEST]))

    def leave(self, label: str) -> None:
        """Count a file that nobody knows."""
        self.left_aside_count += 1
        if len(self.left_aside) < MOST_LISTED:
            self.left_aside.append(label)

    def report(self) -> ImportReport:
        """Return what was counted."""
        common = sorted(self.guesses.items(), key=lambda one: (-one[1][0], one[0]))
        return ImportReport(
            found=sum(self.importers.values()),
            importers=dict(sorted(self.importers.items())),
            guessed=[Guess(what=what, runs=count, first=first) for what, (count, first) in common],
            refused=self.refused,
            refused_count=self.refused_count,
            left_aside=self.left_aside,
            left_aside_count=self.left_aside_count,
        )
