"""How far a reader of a job's stream is, as text that it sends back to go on from there.

    17?attempt=2&log=4096&train/loss=120

are all events up to number 17, of attempt 2 the first 4,096 bytes of its log, and its training
loss up to step 120. Attempts before it were sent whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, urlencode

from metadata.errors import InvalidRequest
from metadata.records import Measurement

_LARGEST = 10**15  # what `Count` takes, of steps and bytes alike
_MOST_SERIES = 1_000


@dataclass(frozen=True, kw_only=True)
class Position:
    """What was sent so far; `steps` holds the newest step of each series of the attempt."""

    event: int = 0
    attempt: int = 0
    log: int = 0
    steps: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return it as the id of an event."""
        query = {"attempt": self.attempt, "log": self.log, **self.steps} if self.attempt else {}
        return f"{self.event}?{urlencode(query, safe='/')}" if query else str(self.event)

    def past_event(self, number: int) -> "Position":
        """Return the position after an event."""
        return replace(self, event=number)

    def past_points(self, points: Sequence[Measurement]) -> "Position":
        """Return the position after points of the attempt."""
        steps = dict(self.steps)
        for point in points:
            name = series_of(point)
            steps[name] = max(steps.get(name, -1), point.step)
        return replace(self, steps=steps)

    def past_log(self, end: int) -> "Position":
        """Return the position after so many bytes of the attempt's log."""
        return replace(self, log=end)

    def at_attempt(self, generation: int) -> "Position":
        """Return the position at an attempt: at its beginning where it is a later one."""
        if generation == self.attempt:
            return self
        return Position(event=self.event, attempt=generation)

    def has(self, point: Measurement) -> bool:
        """Say whether a point of the attempt was sent."""
        return point.step <= self.steps.get(series_of(point), -1)


def series_of(point: Measurement) -> str:
    """Name the series that a point belongs to."""
    return f"{point.split}/{point.name}"


def read_position(text: str | None) -> Position:
    """Return the position that a reader sends back; the beginning where it sends none.

    Raises:
        InvalidRequest: It is not one of ours.
    """
    if not text:
        return Position()
    number, _, query = text.partition("?")
    try:
        pairs = parse_qsl(query, strict_parsing=bool(query), max_num_fields=_MOST_SERIES)
        values = {name: _count(value) for name, value in pairs}
        return Position(
            event=_count(number),
            attempt=values.pop("attempt", 0),
            log=values.pop("log", 0),
            steps=values,
        )
    except ValueError:
        raise InvalidRequest(
            "Last-Event-ID must be the id of an event of this stream, such as 17, got "
            f"{text[:80]!r}. Leave it out to begin at the beginning.",
            param="Last-Event-ID",
        ) from None


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > _LARGEST:
        raise ValueError(text)
    return int(text)
