"""The result file of a job: its curve as CSV, in the columns that OpenAI documents."""

import csv
import io
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from metadata.records import Measurement
from service.files.store import FileStore

COLUMNS = (
    "step",
    "train_loss",
    "train_accuracy",
    "valid_loss",
    "valid_mean_token_accuracy",
)
_OF_CURVE = {("train", "loss"): "train_loss", ("validation", "loss"): "valid_loss"}


def metrics_csv(curve: Sequence[Measurement]) -> bytes:
    """Return a line for each step at which something was measured; what was not is empty."""
    lines: dict[int, dict[str, object]] = {}
    for point in curve:
        column = _OF_CURVE.get((point.split, point.name))
        if column is not None:
            lines.setdefault(point.step, {"step": point.step})[column] = point.value
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines[step] for step in sorted(lines))
    return text.getvalue().encode()


def keep_results(
    files: FileStore, session: Session, job_id: str, curve: Sequence[Measurement], *, now: datetime
) -> str:
    """Keep a job's curve as a file, in the transaction that ends the job, and return its id."""
    file_id = job_id.replace("ftjob-", "file-", 1)
    label = f"{job_id}-metrics.csv"
    files.keep_results(session, file_id, metrics_csv(curve), label=label, now=now)
    return file_id
