"""The step of an estimate, simulated by the worker's Python beside the formula's answer."""

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metadata.errors import InvalidRequest, PeftwiseError, Unavailable
from metadata.features.model import profile_model
from metadata.features.model_config import config_of
from metadata.footprint import footprint
from metadata.records import Count, ModelProfile, Record
from metadata.simulated import Peak, Phase
from service.catalogue.models import Models
from service.estimates.schemas import EstimateAnswer
from service.executors.local import clean_environment
from service.settings import Settings

SIMULATE_SECONDS = 600.0  # a shape of 70 B takes one of them
_MISSING = re.compile(r"No module named '([\w.]+)'")


@dataclass(frozen=True, kw_only=True)
class Simulator:
    """The Python that simulates, and where it keeps its answers."""

    python: Path
    cache: Path


@dataclass(frozen=True, kw_only=True)
class BaseModel:
    """A model by its sizes and by what its `config.json` says."""

    profile: ModelProfile
    config: Mapping[str, Any]


class Exact(Record):
    """A simulated step, and what the formula says of the same one, its loss on every token."""

    peak_tensor_bytes: Count
    peak_phase: Phase
    peaks: Mapping[Phase, Peak]
    trainable: Count
    operations: Count
    flops: Count
    bytes_moved: Count
    notes: tuple[str, ...]
    formula_peak_bytes: Count
    formula_operations: Count


def base_model(model_id: str, config: Mapping[str, Any] | None, settings: Settings) -> BaseModel:
    """Return a model by its config where that is given, else by its folder or its sizes.

    Raises:
        InvalidRequest: The model is not known here, or its family's layout is not.
    """
    if config is not None:
        return BaseModel(profile=profile_model(config, id=model_id), config=config)
    models = Models(settings.models)
    profile, folder = models.find(model_id), models.folder(model_id)
    if folder is not None:
        said = json.loads((folder / "config.json").read_text())
        return BaseModel(profile=profile, config=said)
    return BaseModel(profile=profile, config=config_of(profile))


def simulate(
    answer: EstimateAnswer,
    model: BaseModel,
    simulator: Simulator,
    *,
    processes: int,
    device_kind: str,
) -> Exact:
    """Return the step of an estimate as simulated, in seconds and without weights.

    Raises:
        Unavailable: The interpreter lacks what simulates, does not run, or takes too long.
        InvalidRequest: The model or the configuration cannot be simulated.
    """
    accumulates = answer.accumulation_steps > 1
    options = ["--micro-batch-size", str(answer.micro_batch_size)]
    options += ["--length", str(answer.length_tokens), "--processes", str(processes)]
    options += ["--device-kind", "cuda" if device_kind == "cuda" else "cpu"]
    options += ["--configuration", answer.configuration.model_dump_json()]
    options += ["--cache", str(simulator.cache), *(["--accumulates"] if accumulates else [])]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.json"
        file.write_text(json.dumps(model.config))
        said = _run(simulator.python, ["--model", str(file), *options, "--json"])
    needs = footprint(
        answer.configuration,
        model.profile,
        micro_batch_size=answer.micro_batch_size,
        length_tokens=answer.length_tokens,
        accumulates=accumulates,
    )
    known = {name: value for name, value in said.items() if name in Exact.model_fields}
    return Exact.model_validate(
        {
            **known,
            "formula_peak_bytes": needs.peak_bytes,
            "formula_operations": needs.operations,
        }
    )


def _run(python: Path, options: Sequence[str]) -> dict[str, Any]:
    command = [str(python), "-m", "training_worker", "simulate", *options]
    try:
        ended = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=SIMULATE_SECONDS,
            env=clean_environment(os.environ),
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(
            f"--exact simulates for at most {SIMULATE_SECONDS:.0f} seconds, and that was not "
            "enough. Leave --exact out: the formula answers at once."
        ) from None
    except OSError as error:
        raise Unavailable(
            f"--exact needs a Python that runs, got {error.strerror}. Set PEFTWISE_WORKER_PYTHON "
            "to the interpreter in which peftwise[worker] is installed."
        ) from None
    if ended.returncode != 0:
        raise _refusal(ended.stderr)
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def _refusal(stderr: str) -> PeftwiseError:
    missing = _MISSING.search(stderr)
    if missing is not None:
        return Unavailable(
            f"--exact needs {missing[1]}, which is not installed in the worker's Python. Run `pip "
            "install peftwise[worker]` there, or leave --exact out: the formula needs none of it."
        )
    last = (stderr.strip().splitlines() or ["nothing was said"])[-1]
    return InvalidRequest(f"--exact cannot simulate this: {last.removeprefix('error: ')}")
