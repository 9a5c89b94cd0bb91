"""Learn from the recorded runs: fit beside the live knowledge, and keep the better of the two.

The fit runs in a process of its own, so that questions are answered all the while. It swaps only
where the new version is not worse on datasets left out.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from metadata.errors import Conflict, Unavailable
from metadata.history import History
from metadata.knowledge import Knowledge, compare
from metadata.runs_file import write_runs
from service.recommender.knowledge import KnowledgeStore
from service.recommender.schemas import RefitAnswer

FIT_SECONDS = 1800.0  # usually half a minute; beyond this something hangs
FIT_THREADS = max(1, (os.cpu_count() or 1) // 2)  # the others go on answering
KEPT_CHARACTERS = 500


def refit(history: History, store: KnowledgeStore, *, python: str = sys.executable) -> RefitAnswer:
    """Learn from the runs of the history, and go live if the result is not worse.

    Archived runs are left out: they are no evidence.

    Args:
        history: The runs that are known.
        store: Holds the live version, and the new one afterwards, live or not.
        python: The interpreter of the fitting process.

    Raises:
        Conflict: Another refit runs.
        Unavailable: The fitting process failed, such as for too few runs, or was stopped.
    """
    if not store.refitting.acquire(blocking=False):
        raise Conflict("One refit runs at a time, and one runs now. Wait for its answer.")
    try:
        return _refit(history, store, python=python)
    finally:
        store.refitting.release()


def _refit(history: History, store: KnowledgeStore, *, python: str) -> RefitAnswer:
    old = store.current
    with tempfile.TemporaryDirectory(prefix="peftwise-refit-") as folder:
        new = _fit(history, store, Path(folder), python=python)
    before = store.describe(old)
    if new.version == old.version:
        reason = f"No run is new: the {before.runs:,} recorded ones are those it was learnt from."
        return RefitAnswer(activated=False, reason=reason, before=before, after=before)
    store.add(new)
    activated = compare(old, new)
    if activated:
        store.activate(new.version)
    return RefitAnswer(
        activated=activated,
        reason=_reason(old, new, activated=activated),
        before=before,
        after=store.describe(new),
    )


def _fit(history: History, store: KnowledgeStore, folder: Path, *, python: str) -> Knowledge:
    runs, fitted = folder / "runs.parquet", folder / "knowledge"
    write_runs(runs, history.stream(with_archived=False))
    process = subprocess.Popen(
        [python, "-m", "metadata", "fit", "--runs", str(runs), "--output", str(fitted)],
        env={**os.environ, "OMP_NUM_THREADS": str(FIT_THREADS)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with store.fitting(process):
        try:
            _, said = process.communicate(timeout=FIT_SECONDS)
        except subprocess.TimeoutExpired:
            raise Unavailable(
                f"Learning took over {FIT_SECONDS / 60:.0f} minutes and was stopped; the live "
                "version goes on. Try again when the machine has less to do."
            ) from None
    if process.returncode != 0:
        raise _failure(said, folder)
    return Knowledge.load(fitted)


def _failure(said: str, folder: Path) -> Unavailable:
    """Return the last line of what the process said, without where its files lay."""
    lines = said.strip().splitlines()
    reason = lines[-1].replace(str(folder), "the folder")[:KEPT_CHARACTERS] if lines else "stopped"
    return Unavailable(
        f"Learning ended early ({reason}); the live version goes on. "
        "Mend what it says, or try again."
    )


def _reason(old: Knowledge, new: Knowledge, *, activated: bool) -> str:
    before, after = (known.held_out["regret"]["ours"]["1"] for known in (old, new))
    figures = (
        f"mean regret of the first answer on {new.held_out['datasets']} datasets left out is "
        f"{after:.3f}, it was {before:.3f}"
    )
    if activated:
        return f"The new version is not worse: {figures}."
    return (
        f"The new version is worse, so the old one goes on: {figures}. "
        f"POST /v1/knowledge/{new.version}/activate takes it all the same."
    )
