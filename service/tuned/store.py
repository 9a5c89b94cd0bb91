"""Find what a job has made in the data folder, and pack it with its card."""

import zipfile
from pathlib import Path

from metadata.errors import Conflict, NotFound
from metadata.history import History
from service.jobs.queue import Queue
from service.tuned.card import Made, card_of

ADAPTERS = "adapters"  # in the data folder: a folder an attempt
ADAPTER_CONFIG = "adapter_config.json"
CARD = "README.md"


class Tuned:
    """What the jobs of one data folder have made."""

    def __init__(self, queue: Queue, history: History, data_dir: Path) -> None:
        """Keep where to look."""
        self._queue, self._history = queue, history
        self._folder = data_dir / ADAPTERS

    def card(self, job_id: str) -> str:
        """Return the model card of what a job made.

        Raises:
            NotFound: There is no such job.
            Conflict: It has not succeeded, or its run is not in the history yet.
        """
        return card_of(self._made(job_id))

    def pack(self, job_id: str, into: Path) -> None:
        """Write what a job made into a zip file, its card in it; nothing is compressed.

        Raises:
            NotFound: There is no such job, or what it made lies on another machine.
            Conflict: It has not succeeded, or its run is not in the history yet.
        """
        made = self._made(job_id)
        folder = self._folder_of(made)
        with zipfile.ZipFile(into, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for file in sorted(folder.iterdir()):
                if file.is_file() and file.name != CARD:
                    archive.write(file, file.name)
            archive.writestr(CARD, card_of(made))

    def _made(self, job_id: str) -> Made:
        job = self._queue.get(job_id)
        if job.state != "succeeded" or job.run_id is None:
            raise Conflict(
                f"Only a job that has succeeded has made something; this one is {job.state}. "
                "Follow it with `peftwise jobs show`."
            )
        run = self._history.get(job.run_id)
        if run is None:
            raise Conflict("The job's run is on its way to the history. Ask again in a moment.")
        folder = self._folder / job.run_id.replace("run-", "attempt-", 1)
        is_adapter = (folder / ADAPTER_CONFIG).is_file() or not folder.is_dir()
        return Made(job=job, run=run, is_adapter=is_adapter)

    def _folder_of(self, made: Made) -> Path:
        assert made.job.run_id is not None
        folder = self._folder / made.job.run_id.replace("run-", "attempt-", 1)
        if not folder.is_dir():
            raise NotFound(
                f"What job {made.job.id} made is not in this server's data folder: it lies on the "
                "machine that trained it, under adapters/ in that worker's data folder."
            )
        return folder
