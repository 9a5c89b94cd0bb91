"""`peftwise runs`: take past runs along as a file, say something of one, delete one."""

from pathlib import Path
from typing import Annotated

import typer

from metadata.errors import InvalidRequest
from service import command_parts as parts
from service import terminal
from service.client import Json
from service.reaching import client_of, settings_of
from service.runs.exporting import Format

_BY_ENDING: dict[str, Format] = {".csv": "csv", ".parquet": "parquet"}
RunId = Annotated[str, typer.Argument(metavar="RUN", help="Id of a run.")]


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV or Parquet to write.")],
    where: Annotated[
        str | None,
        typer.Option("--filter", help="Such as \"method = 'lora' and score > 0.5\"."),
    ] = None,
    sort: Annotated[str, typer.Option(help="A field; - before it: largest first.")] = "-created_at",
    fields: Annotated[str | None, typer.Option(help="Fields, by commas [all].")] = None,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="runs: whole runs, to import elsewhere [by the ending]."),
    ] = None,
    data_dir: parts.DataDir = None,
) -> None:
    """Write past runs into a file; archived ones only where the filter names archived."""
    chosen = form or _BY_ENDING.get(file.suffix.lower())
    if chosen is None:
        raise InvalidRequest(
            f"FILE ends in .csv or .parquet, or --format says which, got {file.name!r}."
        )
    client = client_of(settings_of(data_dir=data_dir))
    asked = {"filter": where, "sort": sort, "fields": fields, "format": chosen}
    client.export_runs(file, **asked)
    terminal.make_console(stderr=True).print(terminal.plain(f"Written: {file.name}"))


def note(
    run_id: RunId,
    text: Annotated[str | None, typer.Option("--note", help="What to say; empty: nothing.")] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(metavar="TAG", help="Replace its tags; may be repeated."),
    ] = None,
    untag: Annotated[bool, typer.Option("--no-tags", help="Take all its tags away.")] = False,
    archive: Annotated[
        bool | None,
        typer.Option("--archive/--restore", help="Out of lists and of the evidence, or back."),
    ] = None,
    as_json: parts.AsJson = False,
    data_dir: parts.DataDir = None,
) -> None:
    """Note, tag or archive a run, which itself never changes."""
    tags = [] if untag else tag
    change: Json = {"note": text, "tags": tags, "archived": archive}
    change = {name: value for name, value in change.items() if value is not None}
    if not change or (untag and tag):
        raise InvalidRequest(
            "Say what to change: --note, --tag or --no-tags, --archive or --restore."
        )
    found = client_of(settings_of(data_dir=data_dir)).change_run(run_id, change)
    parts.answer(found, terminal.pairs_view({"Run": found["id"], **said(found)}), as_json=as_json)


def delete(
    run_id: RunId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data_dir: parts.DataDir = None,
) -> None:
    """Delete a run for good; `runs note --archive` can be undone."""
    what = f"{run_id[:80]}, with the download of its model where it was trained here,"
    if not yes and not typer.confirm(f"Delete {what} for good?", err=True):
        raise typer.Exit(1)
    client_of(settings_of(data_dir=data_dir)).delete_run(run_id)
    terminal.make_console(stderr=True).print(terminal.plain(f"Deleted: {run_id[:80]}"))


def said(found: Json) -> dict[str, str]:
    """Return what people say of a run that a route answered."""
    return {
        "Note": found["note"],
        "Tags": ", ".join(found["tags"]),
        "Archived": "yes" if found["archived"] else "",
    }
