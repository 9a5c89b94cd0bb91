"""Keep imported runs, and say how the evidence changed and whether the knowledge got better."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Engine, distinct, func, select

from metadata.database import read_session
from metadata.history import History
from metadata.importers.report import ImportReport, Intake
from metadata.records import Record, Run
from metadata.run_rows import RunRow
from metadata.teaching import can_teach
from service.recommender.knowledge import KnowledgeStore
from service.recommender.schemas import RefitAnswer
from service.runs.retraining import refit

RUNS_AT_ONCE = 250
POINTS_AT_ONCE = 100_000  # of curves, some 20 MB
SHOWN_CHARACTERS = 100


class EvidenceCount(Record):
    """How much is known: runs, and of how many models, datasets (all sizes as one) and methods."""

    runs: int
    models: int
    datasets: int
    methods: int


class Kept(Record):
    """What an import added to the history.

    Attributes:
        added: Runs that are new.
        unchanged: Runs that were known before, by the same content; nothing of them changes.
        teaching: Of the new ones those that say all that learning needs.
    """

    added: int
    unchanged: int
    teaching: int
    before: EvidenceCount
    after: EvidenceCount


class ImportAnswer(Record):
    """What an import took, guessed and refused, and what it did to the evidence.

    `learning` says what it does to the knowledge; `refit` stands where that was asked for and
    could be: the new version beside the old, on datasets left out.
    """

    object: str = "import"
    report: ImportReport
    kept: Kept
    learning: str
    refit: RefitAnswer | None = None


def count_evidence(engine: Engine) -> EvidenceCount:
    """Return how much is known."""
    query = select(
        func.count(RunRow.id),
        func.count(distinct(RunRow.model_id)),
        func.count(distinct(RunRow.dataset_group)),
        func.count(distinct(RunRow.method)),
    )
    with read_session(engine) as session:
        runs, models, datasets, methods = session.execute(query).one()
    return EvidenceCount(runs=runs, models=models, datasets=datasets, methods=methods)


def keep_runs(history: History, runs: Iterator[Run]) -> Kept:
    """Add the runs whose ids are new, some hundred at a time, so that memory stays flat.

    What was added before an error stays: importing the same once more adds the rest.
    """
    before = count_evidence(history.engine)
    added = unchanged = teaching = 0
    for batch in _batches(runs):
        unknown = history.unknown([run.id for run in batch])
        new = {run.id: run for run in batch if run.id in unknown}
        count = history.add_many(new.values())
        added += count
        unchanged += len(batch) - count
        teaching += sum(can_teach(run) for run in new.values())
    return Kept(
        added=added,
        unchanged=unchanged,
        teaching=teaching,
        before=before,
        after=count_evidence(history.engine),
    )


def answer_import(
    intake: Intake, kept: Kept, history: History, store: KnowledgeStore, *, check: bool
) -> ImportAnswer:
    """Return what an import came to.

    Args:
        intake: What was taken, guessed and refused.
        kept: What was added.
        history: Every run that is known.
        store: Holds the live knowledge.
        check: Whether to learn from the new runs and compare on datasets left out; the better
            version answers from then on.

    Raises:
        Conflict: Another refit runs; the runs are kept all the same.
        Unavailable: The fit failed; the runs are kept all the same.
    """
    fitted = refit(history, store) if check and kept.teaching else None
    learning = learning_of(kept) if fitted is None else fitted.reason
    return ImportAnswer(report=intake.report(), kept=kept, learning=learning, refit=fitted)


def learning_of(kept: Kept) -> str:
    """Say what new runs do to the knowledge before anything is learnt from them."""
    if kept.added == 0:
        return "No run is new: the knowledge stays as it is."
    if kept.teaching == 0:
        return (
            f"None of the {kept.added:,} new runs says all that learning needs (origin.gaps names "
            "what is open), so that the knowledge stays as it is. They can be browsed and compared."
        )
    return (
        f"{kept.teaching:,} of the {kept.added:,} new runs can be learnt from. POST "
        "/v1/knowledge/refit, or --check, does so and says whether that is better on datasets left "
        "out."
    )


def _batches(runs: Iterator[Run]) -> Iterator[Sequence[Run]]:
    batch: list[Run] = []
    points = 0
    for run in runs:
        batch.append(run)
        points += len(run.curve)
        if len(batch) >= RUNS_AT_ONCE or points >= POINTS_AT_ONCE:
            yield batch
            batch, points = [], 0
    if batch:
        yield batch


def safe_name(label: str) -> str:
    """Return what an upload may be called on our disk: its last part, plain letters, its ending."""
    last = label.replace("\\", "/").rpartition("/")[2]
    stem, _, ending = last.rpartition(".")
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in stem)
    known = "".join(c for c in ending.lower() if c.isascii() and c.isalnum())
    return f"{plain[:SHOWN_CHARACTERS] or 'upload'}.{known[:10] or 'bin'}"
