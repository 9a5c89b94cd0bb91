"""Moments as pages say them: at what time, and how long ago."""

from datetime import datetime

from service import wording

_NOW_SECONDS = 2.0


def clock(moment: datetime) -> str:
    """Say a moment of today in this machine's own zone: `06:51:02`."""
    return f"{moment.astimezone():%H:%M:%S}"


def ago(moment: datetime | None, *, now: datetime) -> str:
    """Say how long ago something was; a dash where it never was."""
    if moment is None:
        return wording.DASH
    seconds = (now - moment).total_seconds()
    return "just now" if seconds < _NOW_SECONDS else f"{wording.duration(seconds)} ago"


def ahead(moment: datetime, *, now: datetime) -> str:
    """Say how long it is until a moment, or that it has passed."""
    seconds = (moment - now).total_seconds()
    return f"in {wording.duration(seconds)}" if seconds > 0 else "has passed"
