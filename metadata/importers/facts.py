"""What a draft says, read value by value; what it does not say is told as a gap."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from metadata.importers.cleaning import number_of, whole_of
from metadata.records import Scalar


@dataclass(kw_only=True)
class Facts:
    """The facts of one draft.

    Attributes:
        gaps: Parts of the run that the source leaves open, or says in no terms of ours.
        notes: What was guessed, in words.
    """

    values: Mapping[str, Scalar]
    gaps: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def text(self, name: str) -> str | None:
        """Return a text, None where there is none."""
        value = self.values.get(name)
        return value if isinstance(value, str) and value else None

    def number(self, name: str, low: float, high: float) -> float | None:
        """Return a number within its range; one beyond it is told and left out."""
        number = number_of(self.values.get(name))
        if number is None:
            return None
        if not low <= number <= high:
            self.notes.append(f"{name} is outside {low:g} to {high:g} and left out")
            return None
        return number

    def whole(self, name: str, low: int, high: int) -> int | None:
        """Return a whole number within its range; one beyond it is told and left out."""
        number = self.number(name, low, high)
        whole = whole_of(number)
        if number is not None and whole is None:
            self.notes.append(f"{name} is no whole number and left out")
        return whole

    def flag(self, name: str) -> bool | None:
        """Return whether something is so, None where the source does not say."""
        value = self.values.get(name)
        return value if isinstance(value, bool) else None

    def open(self, part: str, note: str) -> None:
        """Tell that the source leaves a part open, and how it is filled in."""
        self.gaps.add(part)
        self.notes.append(note)
