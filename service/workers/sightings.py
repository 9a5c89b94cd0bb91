"""When workers asked for work last. This process alone knows: one that waits leaves no rows."""

from collections.abc import Mapping
from datetime import datetime
from threading import Lock

MOST = 1_000  # names; the one that asked longest ago is forgotten first


class Sightings:
    """The newest question of each worker."""

    def __init__(self) -> None:
        """Begin with none seen."""
        self._asked_at: dict[str, datetime] = {}
        self._lock = Lock()

    def saw(self, worker: str, *, now: datetime) -> None:
        """Note that a worker asked for work."""
        with self._lock:
            self._asked_at.pop(worker, None)
            self._asked_at[worker] = now
            if len(self._asked_at) > MOST:
                del self._asked_at[next(iter(self._asked_at))]

    def since(self, moment: datetime) -> Mapping[str, datetime]:
        """Return who asked since a moment, and when last."""
        with self._lock:
            return {name: at for name, at in self._asked_at.items() if at >= moment}
