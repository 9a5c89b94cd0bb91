"""`peftwise backup`: a copy of the database while a server runs on it."""

from pathlib import Path
from typing import Annotated

import typer

from service import command_parts as parts
from service import terminal
from service.reaching import settings_of
from service.settings import MIB
from service.storage.backup import back_up


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The copy, a new file.")],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    as_json: parts.AsJson = False,
    data_dir: parts.DataDir = None,
    database_url: parts.DatabaseUrl = None,
) -> None:
    """Copy the SQLite database of a data folder, also while a server writes to it."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    made = back_up(settings.database, file, force=force)
    said = {"file": str(made.file), "size_bytes": made.size_bytes, "tables": made.tables}
    view = {
        "Copy": str(made.file),
        "Size": f"{made.size_bytes / MIB:.1f} MiB, {made.tables} tables, checked",
        "Not in it": "files, adapters and checkpoints; copy these folders of the data folder too",
        "To use it": f"peftwise serve --database-url sqlite:///{made.file.resolve()}",
    }
    parts.answer(said, terminal.pairs_view(view), as_json=as_json)
