"""The folder of checkpoints, and the mark by which a worker knows that it shares it."""

import contextlib
import secrets
from pathlib import Path

from metadata.messages import CHECKPOINT_MARK

CHECKPOINTS = "checkpoints"  # in the data folder: a folder a job


def mark_of(folder: Path) -> str:
    """Return what the folder's file `mark` holds; it is made where it is missing."""
    file = folder / CHECKPOINT_MARK
    with contextlib.suppress(FileNotFoundError):
        return file.read_text()
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError), file.open("x") as made:
        made.write(secrets.token_hex(16))
    return file.read_text()
