"""`peftwise recommend --export`: the answer as a file for another trainer."""

from pathlib import Path
from typing import Annotated

import typer

from metadata.errors import InvalidRequest
from metadata.examples import read_examples
from service import terminal
from service.client import Client
from service.exporters import EXPORTERS
from service.exporters.gather import records_of
from service.exporters.source import Records

Export = Annotated[
    str | None,
    typer.Option(metavar="FORMAT", help=f"Write a file instead: {', '.join(EXPORTERS)}."),
]
ExportTo = Annotated[
    Path | None, typer.Option(dir_okay=False, help="Where to write it [standard output].")
]
ExportRank = Annotated[int, typer.Option("--rank", min=1, help="Which rank to export.")]


def check(export: str | None, export_to: Path | None) -> None:
    """Refuse a place for a file that is not asked for, before anything is computed."""
    if export_to is not None and export is None:
        raise InvalidRequest("--export-to needs --export FORMAT. Add it.")


def write(
    client: Client,
    recommendation_id: str,
    file: Path,
    *,
    export: str,
    export_to: Path | None,
    rank: int,
) -> None:
    """Write a rank of an answer in a format, to a file or to standard output."""
    text, origin = client.export(
        recommendation_id, format=export, rank=rank, data=file, records=_records(file)
    )
    console = terminal.make_console(stderr=True)
    if not text.startswith("#"):  # JSON has no comments
        for line in origin.splitlines():
            console.print(terminal.plain(line))
    if export_to is None:
        typer.echo(text, nl=False)
        return
    try:
        export_to.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(
            f"--export-to must be a file that can be written, got {export_to}: {error.strerror}. "
            "Name another."
        ) from None
    console.print(terminal.plain(f"Wrote {export_to}"))


def _records(file: Path) -> Records:
    with file.open("rb") as lines:
        return records_of(next(read_examples(lines)))
