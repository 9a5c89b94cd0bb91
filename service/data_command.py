"""`peftwise data`: look at training data before anything is spent on it, on this machine alone."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from metadata.data_check.check import DataCheck, Report
from metadata.data_check.copy import check_free, repaired_copy
from metadata.data_check.problems import Problem, Summary
from metadata.data_check.tokens import counter_for
from metadata.features.model import profile_model
from metadata.records import ModelProfile
from service import command_parts as parts
from service import terminal
from service.catalogue.models import Models
from service.datasets.checking import Listed
from service.datasets.view import check_view
from service.reaching import settings_of

app = typer.Typer(help="Training data.", no_args_is_help=True, rich_markup_mode=None)
SHOWN_LINES = 10  # of each rule, on a terminal


@app.callback()
def data() -> None:
    """Training data."""


@app.command("check")
def check(
    file: parts.DataFile,
    model: Annotated[
        str | None,
        typer.Option(help="Id or folder of the base model, for its context and its tokens."),
    ] = None,
    validation: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", exists=True, dir_okay=False, help="Checked too, and for leakage."
        ),
    ] = None,
    fix: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Write a copy with all safe repairs made.")
    ] = None,
    as_json: parts.AsJson = False,
    data_dir: parts.DataDir = None,
) -> None:
    """Find all that is wrong with a training file. Exit 2 where there are errors."""
    profile, folder = _find_model(model, data_dir)
    counter = counter_for(profile, folder)
    if fix is not None:
        check_free(fix)

    def run(report: Report) -> Summary:
        sizes = sum(path.stat().st_size for path in (file, validation) if path is not None)
        with ExitStack() as stack:
            progress = stack.enter_context(_progress(sizes, is_quiet=as_json))
            check = DataCheck(report=report, model=profile, counter=counter, progress=progress)
            held_out = None if validation is None else stack.enter_context(validation.open("rb"))
            copy = stack.enter_context(nullcontext() if fix is None else repaired_copy(fix))
            return check.run(stack.enter_context(file.open("rb")), held_out, copy=copy)

    summary = _write_json(run) if as_json else _show(run)
    if summary.verdict == "errors":
        raise typer.Exit(2)


def _find_model(
    model: str | None, data_dir: Path | None
) -> tuple[ModelProfile | None, Path | None]:
    """Return what is known of a model, and its folder where it lies on this machine."""
    if model is None:
        return None, None
    folder = Path(model)
    if (folder / "config.json").is_file():
        config = parts.read_json(folder / "config.json")
        return profile_model(config, id=folder.resolve().name), folder
    models = Models(settings_of(data_dir=data_dir).models)
    return models.find(model, param="--model"), models.folder(model)


def _show(run: Callable[[Report], Summary]) -> Summary:
    listed = Listed(SHOWN_LINES)
    summary = run(listed.add)
    terminal.make_console().print(check_view(listed.problems, summary))
    return summary


def _write_json(run: Callable[[Report], Summary]) -> Summary:
    """Write what the route answers, but with every problem, each as it is found."""
    typer.echo('{"object": "dataset_check", "problems": [', nl=False)
    separator = "\n  "

    def write(problem: Problem) -> None:
        nonlocal separator
        typer.echo(separator + json.dumps(problem.model_dump(mode="json")), nl=False)
        separator = ",\n  "

    summary = run(write)
    said: dict[str, Any] = summary.model_dump(mode="json")
    typer.echo(f'\n], "has_more": false, "summary": {json.dumps(said, indent=2)}}}')
    return summary


@contextmanager
def _progress(size_bytes: int, *, is_quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show on stderr how much was read; not beside JSON on the same terminal."""
    console = terminal.make_console(stderr=True)
    is_shown = console.is_terminal and not (is_quiet and terminal.make_console().is_terminal)
    columns = (TextColumn("Checking"), BarColumn(28), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not is_shown) as bar:
        task = bar.add_task("", total=size_bytes)
        yield lambda more_bytes: bar.advance(task, more_bytes)
