"""`peftwise estimate`: time, memory and money of a run before it starts."""

from pathlib import Path
from typing import Annotated, Any

import typer

from metadata.errors import InvalidRequest
from metadata.methods.spec import Serving
from metadata.records import Configuration
from service import command_parts as parts
from service.estimate_view import estimate_view
from service.estimates.exact import Simulator, base_model, simulate
from service.estimates.plot import check_plot, write_plot
from service.estimates.schemas import EstimateRequest
from service.jobs.requests import PeftChoice
from service.pages.urls import STATIC_FOLDER
from service.reaching import client_of, settings_of
from service.recommender.question import read_device
from service.recommender.schemas import BaseModelChoice, Budget, DatasetChoice, Hardware


def estimate(
    file: parts.DataFile,
    model: parts.Model,
    config: parts.ModelConfig = None,
    device: parts.DeviceName = "cpu",
    devices: parts.DeviceCount = 1,
    configuration: parts.ConfigurationFile = None,
    recommendation: parts.RecommendationId = None,
    rank: parts.Rank = 1,
    serve_with: parts.ServeWith = None,
    memory_gib: parts.MemoryGib = None,
    train_minutes: parts.TrainMinutes = None,
    usd: parts.Usd = None,
    usd_per_hour: parts.UsdPerHour = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the memory over one step: .svg or .html."),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Simulate one step too; needs torch, takes seconds.")
    ] = False,
    as_json: parts.AsJson = False,
    data_dir: parts.DataDir = None,
) -> None:
    """Tell time, memory and money of a run. Without a choice the recommender makes it."""
    check_plot(plot)
    request = EstimateRequest(
        base_model=BaseModelChoice(id=model, config=parts.read_json(config)),
        dataset=DatasetChoice(profile=parts.profile(file)),
        hardware=Hardware(device=device, count=devices, usd_per_hour=usd_per_hour),
        budget=Budget(train_minutes=train_minutes, memory_gib=memory_gib, usd=usd),
        peft=_choice(configuration, recommendation, rank, serve_with),
    )
    settings = settings_of(data_dir=data_dir)
    found = client_of(settings).estimate(request)
    simulated = None
    if exact:
        simulated = simulate(
            found,
            base_model(model, request.base_model.config, settings),
            Simulator(python=settings.worker_python, cache=settings.data_dir / "simulated"),
            processes=devices,
            device_kind=read_device(request.hardware).kind,
        )
    if plot is not None:
        style = (STATIC_FOLDER / "memory.css").read_text()
        write_plot(plot, found, title=f"Memory of {model} on {device}", style=style)
    said: dict[str, Any] = found.model_dump(mode="json")
    if simulated is not None:
        said["exact"] = simulated.model_dump(mode="json")
    parts.answer(said, estimate_view(found, simulated), as_json=as_json)


def _choice(
    configuration: Path | None,
    recommendation: str | None,
    rank: int,
    serve_with: Serving | None,
) -> PeftChoice | None:
    if configuration is not None and recommendation is not None:
        raise InvalidRequest("Give --configuration or --recommendation, not both.")
    if configuration is None and recommendation is None and serve_with is None:
        return None
    given = parts.read_json(configuration)
    return PeftChoice(
        configuration=None if given is None else Configuration.model_validate(given),
        recommendation_id=recommendation,
        rank=rank,
        serve_with=serve_with,
    )
