"""What the commands share: their usual options, how they read files and how they answer."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from metadata.errors import InvalidRequest
from metadata.examples import read_examples
from metadata.features.dataset import profile_dataset
from metadata.methods.spec import Serving
from metadata.records import DatasetProfile
from service import terminal

DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder of files, jobs and knowledge [~/.local/share/peftwise]."),
]
DatabaseUrl = Annotated[
    str | None, typer.Option(help="SQLAlchemy URL [SQLite in the data folder].")
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer as JSON, for programs.")]
DataFile = Annotated[
    Path,
    typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="Training data, JSON Lines."),
]
Model = Annotated[str, typer.Option(help="Id of the base model, such as Qwen/Qwen2.5-0.5B.")]
ModelConfig = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="config.json of a model not in the table."),
]
DeviceName = Annotated[
    str, typer.Option(help="GPU by its name, such as 'NVIDIA L40S'; cpu is this machine's.")
]
DeviceCount = Annotated[int, typer.Option(help="How many such devices.")]
MemoryGib = Annotated[float | None, typer.Option(help="Most memory, GiB.")]
TrainMinutes = Annotated[float | None, typer.Option(help="Longest run, minutes.")]
Usd = Annotated[float | None, typer.Option(help="Most money for a run, US dollars.")]
UsdPerHour = Annotated[float | None, typer.Option(help="Price of one device.")]
ConfigurationFile = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="Configuration, JSON.")
]
RecommendationId = Annotated[
    str | None, typer.Option(metavar="ID", help="Take it from this recommendation.")
]
Rank = Annotated[int, typer.Option(help="Which of its ranks.")]
Limit = Annotated[int, typer.Option(help="How many at most.")]
ServeWith = Annotated[
    Serving | None,
    typer.Option(help="What must load the result: PEFT, anything once merged, vLLM."),
]


def answer(found: object, view: RenderableType, *, as_json: bool) -> None:
    """Print what was found: as JSON for programs, else as a person likes to read it."""
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        terminal.make_console().print(view)


def profile(file: Path) -> DatasetProfile:
    """Return the profile of a training file."""
    with file.open("rb") as lines:
        return profile_dataset(list(read_examples(lines)), name=file.name)


def read_json(file: Path | None) -> Any:
    """Return what a file of JSON holds, None where there is no file."""
    if file is None:
        return None
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise InvalidRequest(f"{file.name} must hold JSON: {error}. Mend it there.") from None
