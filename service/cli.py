"""`peftwise`: ask, train and look back from a terminal.

Answers go to stdout, progress to stderr. Exit 0: done; 1: failed; 2: used wrongly. Every command
talks to the HTTP routes: of PEFTWISE_URL, of a server on the data folder, or inside this process.
"""

import shlex
import sys
from typing import Annotated, Any, Literal, NoReturn

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError
from rich.text import Text

from metadata.errors import InvalidRequest, PeftwiseError
from metadata.objectives import objective_of
from metadata.records import Configuration, TrainingObjective
from service import (
    backup_command,
    calibrate_command,
    data_command,
    doctor_command,
    entries_view,
    estimate_command,
    export_command,
    jobs_command,
    runs_command,
    runs_import_command,
    serving,
    terminal,
    tuned_command,
    watching,
    worker_command,
)
from service import command_parts as parts
from service.app import create_app
from service.client import Client, read_run
from service.jobs_command import job_pairs
from service.reaching import client_of, running_service, settings_of
from service.recommender.question import usual
from service.recommender.schemas import (
    BaseModelChoice,
    Budget,
    DatasetChoice,
    Hardware,
    RecommendationRequest,
)
from service.settings import Settings
from service.validation import describe_errors

app = typer.Typer(
    help="Which PEFT method, rank and learning rate? An answer at once, learnt from past runs.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
runs_app = typer.Typer(help="Past runs.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(jobs_command.app, name="jobs")
app.add_typer(runs_app, name="runs")
app.add_typer(data_command.app, name="data")
app.command("estimate")(estimate_command.estimate)
app.command("backup")(backup_command.backup)
app.command("calibrate")(calibrate_command.calibrate)
app.command("doctor")(doctor_command.doctor)
app.command("merge")(tuned_command.merge)
app.command("try")(tuned_command.try_model)
app.command("worker")(worker_command.worker)
runs_app.command("import")(runs_import_command.import_runs)
runs_app.command("export")(runs_command.export)
runs_app.command("note")(runs_command.note)
runs_app.command("delete")(runs_command.delete)


def main() -> None:
    """Run the command line; every mistake of a user is one sentence and no traceback."""
    try:
        app()
    except PeftwiseError as error:
        _refuse(str(error), used_wrongly=isinstance(error, InvalidRequest))
    except ValidationError as error:
        rule = describe_errors(_under_body(error))[0].partition(" Mend the request")[0]
        _refuse(f"{rule} Mend it and run the command again; --help says more.", used_wrongly=True)
    except SettingsError as error:
        _refuse(f"A PEFTWISE_ variable cannot be read: {error}.", used_wrongly=True)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on [127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="Port [8000]; 0 takes a free one.")] = None,
    data_dir: parts.DataDir = None,
    database_url: parts.DatabaseUrl = None,
) -> None:
    """Serve pages and HTTP interface until Ctrl-C."""
    settings = settings_of(host=host, port=port, data_dir=data_dir, database_url=database_url)
    serving.serve(settings, create_app, on_start=_say_where)


@app.command()
def recommend(
    file: parts.DataFile,
    model: parts.Model,
    config: parts.ModelConfig = None,
    device: parts.DeviceName = "cpu",
    count: Annotated[int, typer.Option(help="How many configurations.")] = 5,
    devices: parts.DeviceCount = 1,
    train_minutes: parts.TrainMinutes = None,
    memory_gib: parts.MemoryGib = None,
    usd: parts.Usd = None,
    usd_per_hour: parts.UsdPerHour = None,
    objective: Annotated[
        Literal["quality", "balanced", "cheapest"], typer.Option(help="What matters.")
    ] = "quality",
    cheapest_within: Annotated[
        float, typer.Option(help="Regret that the cheapest may give away.")
    ] = usual("cheapest_within"),
    forgetting_weight: Annotated[
        float, typer.Option(help="What a nat forgotten costs, in nats of quality.")
    ] = usual("forgetting_weight"),
    method: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Consider this method only; may be repeated."),
    ] = None,
    serve_with: parts.ServeWith = None,
    export: export_command.Export = None,
    export_to: export_command.ExportTo = None,
    rank: export_command.ExportRank = 1,
    front: Annotated[
        bool, typer.Option("--front", help="Show what none beats in regret, time and memory too.")
    ] = False,
    as_json: parts.AsJson = False,
    data_dir: parts.DataDir = None,
) -> None:
    """Rank configurations for a model and a file. Nothing is trained."""
    export_command.check(export, export_to)
    request = RecommendationRequest(
        base_model=BaseModelChoice(id=model, config=parts.read_json(config)),
        dataset=DatasetChoice(profile=parts.profile(file)),
        hardware=Hardware(
            device=device,
            count=devices,
            usd_per_hour=usd_per_hour,
        ),
        budget=Budget(train_minutes=train_minutes, memory_gib=memory_gib, usd=usd),
        objective=objective,
        cheapest_within=cheapest_within,
        forgetting_weight=forgetting_weight,
        methods=method or None,
        serve_with=serve_with,
        count=count,
    )
    client = client_of(settings_of(data_dir=data_dir))
    found = client.recommend(request)
    if export is not None:
        export_command.write(client, found.id, file, export=export, export_to=export_to, rank=rank)
        return
    console = terminal.make_console()
    view = terminal.answer_view(found, width=console.width, shows_front=front)
    parts.answer(found.model_dump(mode="json"), view, as_json=as_json)
    if not as_json:
        command = ["peftwise", "submit", str(file), "--model", model]
        command += ["--recommendation", found.id, "--rank", "1"]
        command += ["--data-dir", str(data_dir)] if data_dir is not None else []
        console.print("\nTo train the first:")
        console.print(terminal.plain(f"  {shlex.join(command)}"), soft_wrap=True)


@app.command()
def submit(
    file: parts.DataFile,
    model: parts.Model,
    configuration: parts.ConfigurationFile = None,
    recommendation: parts.RecommendationId = None,
    rank: parts.Rank = 1,
    method: Annotated[
        TrainingObjective | None,
        typer.Option(help="What is learnt: completions, or with dpo preferences [as the file is]."),
    ] = None,
    serve_with: parts.ServeWith = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the run.")] = None,
    wait: Annotated[bool, typer.Option(help="Follow the job to its end.")] = True,
    as_json: parts.AsJson = False,
    data_dir: parts.DataDir = None,
) -> None:
    """Train a model on a file. Without a choice the recommender makes it."""
    if configuration is not None and recommendation is not None:
        raise InvalidRequest("Give --configuration or --recommendation, not both.")
    order: dict[str, Any] = {"model": model}
    if configuration is not None:
        chosen = Configuration.model_validate(parts.read_json(configuration))
        order["peft"] = {"configuration": chosen.model_dump(mode="json")}
    if recommendation is not None:
        order["peft"] = {"recommendation_id": recommendation, "rank": rank}
    if serve_with is not None:
        order["peft"] = {**order.get("peft", {}), "serve_with": serve_with}
    if seed is not None:
        order["seed"] = seed
    profile = parts.profile(file)  # a bad line is told before anything is started
    order["method"] = {"type": method or objective_of(profile.kind)}
    with running_service(settings_of(data_dir=data_dir), wait=wait) as client:
        order["training_file"] = client.upload(file)["id"]
        _finish(client, client.submit(order), wait=wait, as_json=as_json)


@runs_app.command("list")
def list_runs(
    where: Annotated[
        str | None,
        typer.Option("--filter", help="Such as \"method = 'lora' and score > 0.5\"."),
    ] = None,
    sort: Annotated[str, typer.Option(help="A field; - before it: largest first.")] = "-created_at",
    state: Annotated[str | None, typer.Option(help="Only runs that ended so.")] = None,
    method: Annotated[str | None, typer.Option(help="Only runs of this method.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only runs on this dataset.")] = None,
    model: Annotated[str | None, typer.Option(help="Only runs of this base model.")] = None,
    limit: parts.Limit = 20,
    as_json: parts.AsJson = False,
    data_dir: parts.DataDir = None,
) -> None:
    """List past runs, newest first; /v1/runs/fields names what can be asked and sorted by."""
    client = client_of(settings_of(data_dir=data_dir))
    filters = {"state": state, "method": method, "dataset": dataset, "model": model}
    filters |= {"filter": where, "sort": sort}
    found = client.runs(limit=limit, **filters)
    runs = [read_run(run) for run in found["data"]]
    view = terminal.runs_view(runs) if runs else Text("No runs match.")
    parts.answer(found, view, as_json=as_json)


@runs_app.command("show")
def show_run(run_id: str, as_json: parts.AsJson = False, data_dir: parts.DataDir = None) -> None:
    """Show one run."""
    found = client_of(settings_of(data_dir=data_dir)).run(run_id)
    parts.answer(
        found, terminal.run_view(read_run(found), runs_command.said(found)), as_json=as_json
    )


@app.command()
def methods(
    name: Annotated[str | None, typer.Argument(help="All of one method.")] = None,
    as_json: parts.AsJson = False,
    data_dir: parts.DataDir = None,
) -> None:
    """List the PEFT methods that can be chosen; with a NAME, show all of one."""
    client = client_of(settings_of(data_dir=data_dir))
    if name is not None:
        one = client.method(name)
        parts.answer(one.model_dump(mode="json"), entries_view.method_view(one), as_json=as_json)
        return
    found = client.methods()
    view = entries_view.methods_view(found.data, width=terminal.make_console().width)
    parts.answer(found.model_dump(mode="json"), view, as_json=as_json)


@app.command()
def optimizers(as_json: parts.AsJson = False, data_dir: parts.DataDir = None) -> None:
    """List the optimizers that can be chosen."""
    found = client_of(settings_of(data_dir=data_dir)).optimizers()
    view = entries_view.optimizers_view(found.data, width=terminal.make_console().width)
    parts.answer(found.model_dump(mode="json"), view, as_json=as_json)


@app.command()
def schedules(as_json: parts.AsJson = False, data_dir: parts.DataDir = None) -> None:
    """List the learning rate schedules that can be chosen."""
    found = client_of(settings_of(data_dir=data_dir)).schedules()
    view = entries_view.schedules_view(found.data, width=terminal.make_console().width)
    parts.answer(found.model_dump(mode="json"), view, as_json=as_json)


def _finish(client: Client, job: dict[str, Any], *, wait: bool, as_json: bool) -> None:
    """Follow a job where asked, and answer with it; a job that failed ends the command with 1."""
    errors = terminal.make_console(stderr=True)
    if wait:
        errors.print(terminal.plain(f"Job {job['id']}"))
        job = watching.watch(client, job["id"], console=errors)
    parts.answer(job, terminal.pairs_view(job_pairs(job)), as_json=as_json)
    if wait and job["status"] != "succeeded":
        raise typer.Exit(1)


def _say_where(settings: Settings) -> None:
    console = terminal.make_console()
    console.print(f"Peftwise answers at {settings.url}")
    console.print("First step: open it, or run `peftwise recommend FILE --model ID` beside it.")
    console.print("Ctrl-C stops it.")
    sys.stdout.flush()


def _under_body(error: ValidationError) -> list[dict[str, Any]]:
    """Return the errors as a route would see them, whose places begin with the body."""
    return [{**found, "loc": ("body", *found["loc"])} for found in error.errors()]


def _refuse(message: str, *, used_wrongly: bool) -> NoReturn:
    terminal.make_console(stderr=True).print(terminal.plain(message))
    sys.exit(2 if used_wrongly else 1)
