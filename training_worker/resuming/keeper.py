"""When checkpoints are written, and from which one a run goes on."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from training_worker import ranks
from training_worker.resuming import folders
from training_worker.resuming.folders import OfAnotherRun, Place, Unusable
from training_worker.resuming.progress import LEDGER, STATE, Progress
from training_worker.resuming.states import State
from training_worker.trainer_messages import Level, Notice, Saved

KEPT = 2  # checkpoints of a job: were the newest lost, the one before it is there

OnNotice = Callable[[Notice], None]
OnSaved = Callable[[Saved], None]


class Preempted(Exception):
    """The process was told to stop; a checkpoint of the last step is on disk, if any can be."""


@dataclass(frozen=True)
class Resumable:
    """A checkpoint that was whole when it was looked at."""

    path: Path
    place: Place
    ledger: dict[str, Any]

    @property
    def micro_batch_size(self) -> int:
        """Return the examples that went through the model at once."""
        return int(self.ledger["micro_batch_size"])

    def state(self, device: torch.device) -> State:
        """Return the state that it holds: what was on a GPU is on the run's device."""

        def place(storage: torch.UntypedStorage, was_on: str) -> torch.UntypedStorage:
            return storage.to(device=device) if was_on.startswith("cuda") else storage

        state: State = torch.load(
            self.path / STATE,
            weights_only=True,
            map_location=place,  # type: ignore[arg-type]  # torch's stub has an older storage
        )
        return state


class Keeper:
    """Keeps the checkpoints of one run; without a folder it keeps none."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        run: str = "",
        attempt: int = 1,
        every_seconds: float = 60.0,
        on_saved: OnSaved = lambda saved: None,
        on_notice: OnNotice = lambda notice: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Keep checkpoints of the run of this fingerprint in a folder of its job's own."""
        self._folder, self._run, self._attempt = folder, run, attempt
        self._every_seconds = every_seconds
        self._on_saved, self._on_notice = on_saved, on_notice
        self._should_stop = should_stop
        self._saved_at = time.monotonic()
        self._step = 0  # the last that is on disk; step 0 is there without a checkpoint
        self._whole: list[Place] = []
        self._others: list[Place] = []
        self._is_refused = False

    def newest(self) -> Resumable | None:
        """Return the newest checkpoint that is whole and of this run; tell of those passed over."""
        found = None if self._folder is None else self._newest_in(self._folder)
        if found is None and self._attempt > 1:
            self._tell(
                "warn",
                f"An attempt goes on from the newest whole checkpoint; attempt {self._attempt} "
                "found none and starts at step 0. Let all workers share one folder for "
                "checkpoints.",
            )
        return found

    def resume(self, found: Resumable, progress: Progress) -> None:
        """Have a run go on from a checkpoint."""
        progress.restore(found.state(progress.ledger.device), found.ledger)
        self._step = found.place.step
        self._saved_at = time.monotonic()
        self._tell(
            "info",
            f"Went on from checkpoint {found.place.name}, at step {found.place.step} of "
            f"{progress.ledger.all_steps}.",
            name=found.place.name,
            step=found.place.step,
        )

    def keep(self, progress: Progress) -> None:
        """Write a checkpoint if it is time for one, or if the process is to stop.

        Raises:
            Preempted: The process is to stop.
        """
        is_last = ranks.is_any(self._should_stop())
        is_due = time.monotonic() - self._saved_at >= self._every_seconds
        is_new = progress.ledger.steps > self._step
        if self._folder is not None and ranks.is_first() and is_new and (is_last or is_due):
            self._save(self._folder, progress)
        if is_last:
            ranks.is_any(True)  # none ends before the first has written: its end would end all
            raise Preempted(f"Told to stop after step {progress.ledger.steps}.")

    def _newest_in(self, folder: Path) -> Resumable | None:
        folders.remove_unfinished(folder, up_to_attempt=self._attempt)
        for place in folders.places(folder):
            try:
                folders.verify(folder, place, run=self._run)
                ledger = json.loads((folder / place.name / LEDGER).read_bytes())
            except Unusable as error:
                if isinstance(error, OfAnotherRun):
                    self._others.append(place)
                self._pass_over(place, error)
            else:
                self._whole = [place]
                return Resumable(folder / place.name, place, ledger)
        return None

    def _pass_over(self, place: Place, error: Unusable) -> None:
        self._tell(
            "warn",
            f"A checkpoint counts only as it was written; {place.name} was passed over: {error}. "
            "The one before it is tried.",
            name=place.name,
            reason=str(error),
        )

    def _save(self, folder: Path, progress: Progress) -> None:
        place = Place(progress.ledger.steps, self._attempt)
        self._saved_at = time.monotonic()
        try:
            manifest = folders.write(folder, place, progress.writers(), run=self._run)
        except (OSError, Unusable) as error:
            self._refuse(folder, place, error)
            return
        self._step, self._is_refused = place.step, False
        self._whole = [place, *self._whole][:KEPT]
        self._prune(folder)
        self._on_saved(Saved(step=place.step, name=place.name, bytes=manifest.bytes))

    def _refuse(self, folder: Path, place: Place, error: OSError | Unusable) -> None:
        """Tell that a checkpoint could not be written, once until one can be again."""
        if self._is_refused:
            return
        self._is_refused = True
        reason = error.strerror if isinstance(error, OSError) else str(error)
        free = shutil.disk_usage(folder).free if folder.is_dir() else None
        self._tell(
            "warn",
            f"A checkpoint must be on disk as a whole; that of step {place.step} could not be "
            f"written: {reason}. Training goes on, and would start again at step {self._step}. "
            "Free space where checkpoints are kept.",
            step=place.step,
            reason=reason,
            free_bytes=free,
        )

    def _prune(self, folder: Path) -> None:
        """Remove what is older than the newest two, and what was passed over as broken.

        What another run wrote, or a later attempt, is not this one's to remove.
        """
        for place in folders.places(folder):
            stays = {*self._whole, *self._others}
            if place not in stays and place.attempt <= self._attempt:
                try:
                    folders.remove(folder, place)
                except OSError as error:
                    self._tell("warn", f"{place.name} could not be removed: {error.strerror}.")

    def _tell(self, level: Level, message: str, **data: Any) -> None:
        self._on_notice(Notice(level=level, message=message, data=data))
