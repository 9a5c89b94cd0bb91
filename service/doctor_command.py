"""`peftwise doctor`: one line for each promise, and for what the service stands on."""

import typer

from service import command_parts as parts
from service import terminal
from service.reaching import client_of, settings_of


def doctor(
    as_json: parts.AsJson = False,
    data_dir: parts.DataDir = None,
    database_url: parts.DatabaseUrl = None,
) -> None:
    """Check the ten promises of jobs in the database, and executor, disk and versions.

    Ends with 1 where something is not well.
    """
    found = client_of(settings_of(data_dir=data_dir, database_url=database_url)).doctor()
    lines = [
        ("well" if line["is_well"] else "BROKEN", line["name"], line["detail"])
        for line in found["data"]
    ]
    view = terminal.rows_view(("", "Looked at", "Seen"), lines)
    parts.answer(found, view, as_json=as_json)
    if not found["is_well"]:
        raise typer.Exit(1)
