"""What a trainer is told, and which folder keeps the checkpoints of its job."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import IO

from metadata.messages import CHECKPOINT_MARK, Assignment
from training_worker.client import WorkerClient
from training_worker.trainer_messages import Work


def checkpoints_of(assignment: Assignment, own: Path | None) -> Path | None:
    """Return the folder of a job's checkpoints.

    A path alone says little on another machine, so the server's counts only where the mark above
    it is the server's own. Else they are kept beside the adapters, for attempts on this machine.
    """
    shared = assignment.checkpoint_folder
    if shared is not None and _mark(Path(shared).parent) == assignment.checkpoint_mark:
        return Path(shared)
    return None if own is None else own.parent / "checkpoints" / assignment.job_id


def write_work(
    into: IO[bytes], assignment: Assignment, client: WorkerClient, *, adapters: Path | None
) -> None:
    """Write what the trainer is told, and the files that it learns from, into an open file.

    Raises:
        PeftwiseError: The service refuses the files, or is away.
    """
    with tempfile.TemporaryFile() as files:
        training_bytes = client.download("training", files)
        has_validation = assignment.validation_file
        validation_bytes = client.download("validation", files) if has_validation else None
        checkpoints = checkpoints_of(assignment, adapters)
        work = Work(
            parent=os.getpid(),
            base_model=assignment.model_path or assignment.base_model,
            configuration=assignment.configuration,
            objective=assignment.objective,
            serve_with=assignment.serve_with,
            limits=assignment.limits,
            output_folder=str(adapters / assignment.attempt_id) if adapters else None,
            training_bytes=training_bytes,
            validation_bytes=validation_bytes,
            checkpoint_folder=None if checkpoints is None else str(checkpoints),
            attempt=assignment.generation,
            checkpoint_seconds=assignment.checkpoint_seconds,
        )
        into.write(work.model_dump_json().encode() + b"\n")
        files.seek(0)
        shutil.copyfileobj(files, into)
    into.flush()
    into.seek(0)


def _mark(folder: Path) -> str | None:
    try:
        return (folder / CHECKPOINT_MARK).read_text()
    except OSError:
        return None
