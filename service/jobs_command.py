"""`peftwise jobs`: look at jobs, pause, resume, cancel and delete them."""

from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.text import Text

from metadata.records import Configuration
from service import command_parts as parts
from service import terminal, tuned_command, watching, wording
from service.reaching import client_of, settings_of

app = typer.Typer(help="Jobs, newest first; `jobs show ID` for one.", rich_markup_mode=None)
MOVES = {
    "cancel": "End a job for good.",
    "pause": "Let a job rest; what trains writes a checkpoint and stops.",
    "resume": "Let a paused job go on from its newest checkpoint.",
}


@app.callback(invoke_without_command=True)
def jobs(
    context: typer.Context,
    limit: parts.Limit = 20,
    as_json: parts.AsJson = False,
    data_dir: parts.DataDir = None,
) -> None:
    """List jobs, newest first."""
    if context.invoked_subcommand is not None:
        return
    found = client_of(settings_of(data_dir=data_dir)).jobs(limit=limit)
    columns = ("Job", "Model", "Method", "State", "Progress")
    view = terminal.rows_view(columns, [_row(job) for job in found["data"]])
    parts.answer(found, view if found["data"] else Text("No jobs yet."), as_json=as_json)


@app.command("show")
def show(job_id: str, as_json: parts.AsJson = False, data_dir: parts.DataDir = None) -> None:
    """Show one job and what happened to it."""
    client = client_of(settings_of(data_dir=data_dir))
    job = client.job(job_id)
    events = client.events(job_id)["data"]
    pairs = job_pairs(job) | {
        f"Event {event['id'].rpartition('-')[2]}": event["message"] for event in reversed(events)
    }
    parts.answer(job, terminal.pairs_view(pairs), as_json=as_json)


@app.command("logs")
def logs(
    job_id: str,
    last_bytes: Annotated[int, typer.Option(help="How much of it, the newest.")] = 65_536,
    data_dir: parts.DataDir = None,
) -> None:
    """Print what a job has printed."""
    found = client_of(settings_of(data_dir=data_dir)).log(job_id, last_bytes=last_bytes)
    typer.echo(found["text"], nl=False)


@app.command("delete")
def delete(job_id: str, as_json: parts.AsJson = False, data_dir: parts.DataDir = None) -> None:
    """Forget a job that has ended, with its log, checkpoints and adapter; its run stays."""
    found = client_of(settings_of(data_dir=data_dir)).delete_job(job_id)
    parts.answer(found, Text(f"Deleted {job_id}."), as_json=as_json)


app.command("download")(tuned_command.download)


def _mover(move: str) -> Callable[..., None]:
    def act(job_id: str, as_json: parts.AsJson = False, data_dir: parts.DataDir = None) -> None:
        job = client_of(settings_of(data_dir=data_dir)).move(job_id, move)
        parts.answer(job, terminal.pairs_view(job_pairs(job)), as_json=as_json)

    return act


for name, help_text in MOVES.items():
    app.command(name, help=help_text)(_mover(name))


def job_pairs(job: dict[str, Any]) -> dict[str, str]:
    """Return what a terminal shows of a job, by name."""
    error = job.get("error") or {}
    run_id = job["peft"]["run_id"] or ""
    step = job["peft"]["checkpoint_step"]
    return {
        "Job": job["id"],
        "State": job["status"],
        "Reason": error.get("message", ""),
        "Model": job["model"],
        "Method": job["method"]["type"],
        "Configuration": wording.sentence(
            Configuration.model_validate(job["peft"]["configuration"])
        ),
        "Serve with": wording.loader(job["peft"]["serve_with"]),
        "Last measured": watching.detail(job, now=0.0),
        "Checkpoint": "" if step is None else f"step {step:,}",
        "Run": run_id,
        "Next": f"peftwise runs show {run_id}" if run_id else "",
    }


def _row(job: dict[str, Any]) -> tuple[str, ...]:
    configuration = Configuration.model_validate(job["peft"]["configuration"])
    method = wording.method(configuration.method.name)
    progress = wording.percent(job["peft"]["progress"]) if job["status"] == "running" else ""
    return (job["id"], job["model"], method, job["status"], progress)
