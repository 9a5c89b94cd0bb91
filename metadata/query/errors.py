"""What is wrong with a filter, and where."""

from metadata.errors import InvalidRequest

_AROUND = 24  # characters shown on each side


class BadFilter(InvalidRequest):
    """A filter cannot be read; `position` counts characters from 1."""

    def __init__(self, text: str, position: int, message: str, *, param: str = "filter") -> None:
        """Show the place, with a mark under nothing but itself."""
        start = max(0, position - 1 - _AROUND)
        before, after = text[start : position - 1], text[position - 1 : position - 1 + _AROUND]
        shown = f"{'...' if start else ''}{before}>>>{after}"
        super().__init__(f"At character {position} (here: {shown}): {message}", param=param)
        self.position = position
