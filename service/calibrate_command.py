"""`peftwise calibrate`: measure this machine, so that forecasts know how fast it is."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import ValidationError

from metadata.device_constants import Calibration, keep_calibration, plain_name
from metadata.errors import Unavailable
from service import command_parts as parts
from service import terminal
from service.catalogue.devices import FOLDER
from service.reaching import settings_of
from service.worker_python import ask_worker

LEAST_SECONDS, MOST_SECONDS = 1.0, 600.0
SET_UP_SECONDS = 300.0  # to load torch and make the models on a busy machine


def calibrate(
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="What to measure; auto takes a GPU.")
    ] = "auto",
    seconds: Annotated[
        float,
        typer.Option(min=LEAST_SECONDS, max=MOST_SECONDS, help="About how long it may take."),
    ] = 60.0,
    as_json: parts.AsJson = False,
    data_dir: parts.DataDir = None,
) -> None:
    """Measure this machine; later forecasts for it use what was found."""
    settings = settings_of(data_dir=data_dir)
    errors = terminal.make_console(stderr=True)
    errors.print(f"Measuring for about {seconds:.0f} seconds; best with nothing else running.")
    found = measure(settings.worker_python, device=device, seconds=seconds)
    keep_calibration(settings.data_dir / FOLDER, found)
    view = terminal.pairs_view(_pairs(found))
    parts.answer(found.model_dump(mode="json"), view, as_json=as_json)


def measure(python: Path, *, device: str, seconds: float) -> Calibration:
    """Return what the worker's Python measures of this machine.

    Raises:
        Unavailable: The interpreter lacks what measures, does not run, or takes too long.
        InvalidRequest: There is no such device here.
    """
    command = ["calibrate", "--device", device, "--seconds", str(seconds), "--json"]
    return _read(ask_worker(python, command, what="Measuring", seconds=seconds + SET_UP_SECONDS))


def _read(said: str) -> Calibration:
    try:
        return Calibration.model_validate(json.loads(said))
    except (ValueError, ValidationError):
        raise Unavailable(
            "The worker's Python printed no calibration, perhaps because another version of "
            "Peftwise is installed there. Install the same version and try again."
        ) from None


def _pairs(found: Calibration) -> dict[str, str]:
    constants = found.constants
    return {
        "Device": plain_name(found.device),
        "Products in bf16": _rate(constants.bf16_flops_per_second, "FLOP/s"),
        "Products in fp32": _rate(constants.fp32_flops_per_second, "FLOP/s"),
        "Memory": _rate(constants.bytes_per_second, "B/s"),
        "Cache": _rate(constants.cached_bytes_per_second, "B/s"),
        "Starting an operation": f"{1e6 * constants.launch_seconds:.1f} microseconds",
    }


def _rate(value: float, unit: str) -> str:
    scale, prefix = (1e12, "T") if value >= 1e12 else (1e9, "G")
    return f"{value / scale:.3g} {prefix}{unit}"
