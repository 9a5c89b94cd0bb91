"""`peftwise merge`, `try` and `jobs download`: what to do with what a job made."""

import json
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.text import Text

from metadata.errors import InvalidRequest
from service import command_parts as parts
from service import terminal
from service.client import Client
from service.reaching import client_of, settings_of
from service.settings import Settings
from service.worker_python import ask_worker

SECONDS = 3600.0  # a large base loads slowly from a slow disk
JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of a job that has succeeded.")]
To = Annotated[Path, typer.Option(help="New folder to write.")]


def merge(
    job_id: JobId,
    to: To,
    serve_with: Annotated[
        Literal["merged", "vllm"],
        typer.Option(help="merged: whole weights; vllm: a plain LoRA adapter."),
    ] = "merged",
    data_dir: parts.DataDir = None,
) -> None:
    """Write what a job made as whole weights that anything loads, or as a plain LoRA adapter."""
    settings = settings_of(data_dir=data_dir)
    check_new(to)
    client = client_of(settings)
    with _unpacked(client, job_id) as folder:
        options = ["--base", _base(client, job_id, settings), "--serve-with", serve_with]
        command = ["export", str(folder), *options, "--output", str(to.resolve())]
        ask_worker(settings.worker_python, command, what="Merging", seconds=SECONDS)
    terminal.make_console().print(terminal.plain(f"Wrote {to}."))


def try_model(
    job_id: JobId,
    prompts: Annotated[list[str], typer.Argument(metavar="PROMPT...", help="What to ask.")],
    most_tokens: Annotated[int, typer.Option(help="Of each answer.")] = 64,
    as_json: parts.AsJson = False,
    data_dir: parts.DataDir = None,
) -> None:
    """Ask what a job made, and its base model beside it; greedy, on this machine's processor."""
    settings = settings_of(data_dir=data_dir)
    client = client_of(settings)
    with _unpacked(client, job_id) as folder:
        command = ["sample", str(folder), "--base", _base(client, job_id, settings)]
        command += ["--most-tokens", str(most_tokens)]
        told = json.dumps(prompts)
        said = ask_worker(
            settings.worker_python, command, what="Trying it", seconds=SECONDS, told=told
        )
    answers = json.loads(said)
    rows = [(one["prompt"], one["base"], one["tuned"]) for one in answers]
    view = terminal.rows_view(("Prompt", "Base", "Tuned"), rows)
    parts.answer(answers, view, as_json=as_json)


def download(job_id: JobId, to: To, data_dir: parts.DataDir = None) -> None:
    """Write what a job made, with its model card, into a folder."""
    check_new(to)
    with _unpacked(client_of(settings_of(data_dir=data_dir)), job_id, into=to):
        terminal.make_console().print(Text(f"Wrote {to}."))


def check_new(folder: Path) -> None:
    """Refuse to write over a folder.

    Raises:
        InvalidRequest: It is there already.
    """
    if folder.exists():
        raise InvalidRequest(
            f"--to must be a new folder; {folder.name} is there already. Name another."
        )


@contextmanager
def _unpacked(client: Client, job_id: str, *, into: Path | None = None) -> Iterator[Path]:
    """Lend a folder with what a job made: for the block, or for good where it is named."""
    with tempfile.TemporaryDirectory() as name:
        packed = Path(name) / "model.zip"
        client.download_model(job_id, packed)
        folder = into or Path(name) / "model"
        with zipfile.ZipFile(packed) as archive:
            archive.extractall(folder)
        yield folder


def _base(client: Client, job_id: str, settings: Settings) -> str:
    """Return the base model as the worker's Python finds it."""
    model_id = str(client.job(job_id)["model"])
    folder = settings.models.get(model_id)
    return model_id if folder is None else str(folder)
