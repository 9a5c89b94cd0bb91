"""Delete a job with all that lies in the data folder for it."""

import shutil
from pathlib import Path

from service.jobs.logs import ENDING
from service.jobs.queue import Queue


def remove_job(job_id: str, queue: Queue, *, data_dir: Path) -> None:
    """Forget a job that has ended, then its checkpoints, its logs and its adapters.

    The rows go first: what an interruption leaves behind is swept up later, while a job whose
    files are gone would show what is not there.

    Raises:
        NotFound: There is no such job.
        Conflict: It has not ended, or its run is not in the history yet.
    """
    attempts = queue.delete(job_id)
    shutil.rmtree(data_dir / "checkpoints" / job_id, ignore_errors=True)
    for attempt_id in attempts:
        shutil.rmtree(data_dir / "adapters" / attempt_id, ignore_errors=True)
        for ending in (ENDING, ".log"):
            (data_dir / "logs" / f"{attempt_id}{ending}").unlink(missing_ok=True)
