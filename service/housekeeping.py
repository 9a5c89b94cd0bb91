"""What a server does beside its work: late records every minute, old files every hour."""

import logging
import time

from sqlalchemy import Engine

from metadata.database import read_session
from service.jobs.queue import database_time
from service.jobs.recording import Recorder
from service.settings import Settings
from service.storage.retention import sweep

log = logging.getLogger(__name__)

SWEEP_SECONDS = 3600.0


class Housekeeping:
    """Called about once a minute by whoever has the time."""

    def __init__(self, engine: Engine, recorder: Recorder, settings: Settings) -> None:
        """Keep what to look after; the first sweep is done at the first call."""
        self._engine, self._recorder, self._settings = engine, recorder, settings
        self._swept_at = -SWEEP_SECONDS

    def __call__(self) -> None:
        """Record the runs that were left behind, and remove what is old enough."""
        self._recorder.catch_up()
        if time.monotonic() - self._swept_at < SWEEP_SECONDS:
            return
        self._swept_at = time.monotonic()
        with read_session(self._engine) as session:
            now = database_time(session)
        swept = sweep(self._engine, self._settings.data_dir, settings=self._settings, now=now)
        if swept.freed_bytes:
            log.info("swept: %s", swept)
