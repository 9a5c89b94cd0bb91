"""What the doctor says, as JSON."""

from typing import Literal

from metadata.records import Record


class Finding(Record):
    """One line: what was looked at, whether it is well, and what was seen."""

    name: str
    is_well: bool
    detail: str = ""


class Findings(Record):
    """All lines."""

    object: Literal["list"] = "list"
    is_well: bool
    data: list[Finding]
