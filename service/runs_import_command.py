"""`peftwise runs import`: past runs of other tools into the history.

Files, folders and addresses are read here, by the one who names them. The service, which may run
elsewhere, is sent our own Parquet alone: no path, no secret and nothing that is not a run.
"""

import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from metadata.errors import InvalidRequest
from metadata.features.device import find_device
from metadata.importers import IMPORTERS
from metadata.importers.names import names_of
from metadata.importers.reading import ADDRESSES, runs_at, runs_at_address
from metadata.importers.report import ImportReport, Intake
from metadata.importers.spec import Given
from metadata.records import Run
from metadata.runs_file import write_runs
from service import command_parts as parts
from service import terminal
from service.catalogue.models import Models
from service.client import Client
from service.reaching import client_of, settings_of
from service.runs.importing import ImportAnswer, Kept, learning_of

RUNS_AT_ONCE = 1_000  # in a file that is sent
SHOWN = 12  # lines of each kind, on a terminal; --json says all
Format = Annotated[
    str | None, typer.Option(help=f"{', '.join(IMPORTERS)} [found by the files themselves].")
]
Mapped = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="OURS=THEIRS", help="A column's name; may be repeated."),
]


def import_runs(
    source: Annotated[
        str, typer.Argument(metavar="PATH_OR_URL", help="File, folder, zip, or MLflow's address.")
    ],
    format: Format = None,  # noqa: A002  # the option's name
    names: Mapped = None,
    model: Annotated[str | None, typer.Option(help="Id of the base model of all runs.")] = None,
    device: Annotated[str | None, typer.Option(help="What all runs ran on.")] = None,
    dataset: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Training file of all runs, JSON Lines."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Learn from them: better on datasets left out?")
    ] = False,
    as_json: parts.AsJson = False,
    data_dir: parts.DataDir = None,
) -> None:
    """Import past runs of other tools. The same source once more changes nothing."""
    settings = settings_of(data_dir=data_dir)
    given = Given(
        names=names_of(names or []),
        model=None if model is None else Models(settings.models).find(model, param="--model"),
        device=None if device is None else find_device(device),
        dataset=None if dataset is None else parts.profile(dataset),
        key=os.environ.get("MLFLOW_TRACKING_TOKEN"),
    )
    intake = Intake()
    found = _found(source, format, given, intake)
    client = client_of(settings)
    answer = _joined(_send(client, found), intake)
    if check and answer.kept.teaching:
        fitted = client.refit()
        answer = answer.model_copy(update={"refit": fitted, "learning": fitted.reason})
    parts.answer(answer.model_dump(mode="json"), _view(answer), as_json=as_json)
    if answer.report.found == 0:
        raise typer.Exit(1)


def _found(source: str, importer: str | None, given: Given, intake: Intake) -> Iterator[Run]:
    now = datetime.now(UTC)
    if source.lower().startswith(ADDRESSES):
        return runs_at_address(source, given=given, intake=intake, now=now, importer=importer)
    return runs_at(Path(source), given=given, intake=intake, now=now, importer=importer)


def _send(client: Client, runs: Iterator[Run]) -> list[ImportAnswer]:
    """Send runs some at a time, and return what was answered."""
    answers: list[ImportAnswer] = []
    with tempfile.TemporaryDirectory(prefix="peftwise-import-") as folder:
        path = Path(folder) / "runs.parquet"
        while (batch := list(islice(runs, RUNS_AT_ONCE))) or not answers:
            write_runs(path, {run.id: run for run in batch}.values())
            answers.append(client.import_runs(path))
    return answers


def _joined(answers: list[ImportAnswer], intake: Intake) -> ImportAnswer:
    """Return one answer for all that was sent, with the report of what was read here.

    Raises:
        InvalidRequest: The service did not take a run, such as an older one would.
    """
    refused = [one for answer in answers for one in answer.report.refused]
    if refused:
        raise InvalidRequest(f"The service refused a run: {refused[0].reason}")
    added = sum(answer.kept.added for answer in answers)
    report = intake.report()
    kept = Kept(
        added=added,
        unchanged=report.found - added,
        teaching=sum(answer.kept.teaching for answer in answers),
        before=answers[0].kept.before,
        after=answers[-1].kept.after,
    )
    return ImportAnswer(report=report, kept=kept, learning=learning_of(kept))


def _view(answer: ImportAnswer) -> RenderableType:
    kept = answer.kept
    told = [
        f"{kept.added:,} new, {kept.unchanged:,} known before, "
        f"{answer.report.refused_count:,} refused.",
        *(
            f"{name.capitalize()}: {getattr(kept.before, name):,} before, "
            f"{getattr(kept.after, name):,} now."
            for name in ("runs", "models", "datasets", "methods")
        ),
        answer.learning,
    ]
    return Group(terminal.lines(told), *_lists(answer.report))


def _lists(report: ImportReport) -> Iterator[Text]:
    guessed = [f"{one.runs:,}: {one.what} (first: {one.first})" for one in report.guessed]
    refused = [f"{one.where}: {one.reason}" for one in report.refused]
    for title, texts, count in (
        ("Guessed or left open, of how many runs:", guessed, len(guessed)),
        ("Refused:", refused, report.refused_count),
        ("Of no kind that is known, left aside:", report.left_aside, report.left_aside_count),
    ):
        if count:
            more = [f"and {count - SHOWN:,} more; --json tells them"] if count > SHOWN else []
            shown = [f"  {text}" for text in (*texts[:SHOWN], *more)]
            yield terminal.lines(["", title, *shown])
