"""The step of an estimate, simulated by the worker's Python beside the formula's answer."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metadata.features.model import profile_model
from metadata.features.model_config import config_of
from metadata.footprint import footprint
from metadata.records import Count, ModelProfile, Record
from metadata.simulated import Peak, Phase
from service.catalogue.models import Models
from service.estimates.schemas import EstimateAnswer
from service.settings import Settings
from service.worker_python import ask_worker

SIMULATE_SECONDS = 600.0  # a shape of 70 B takes one of them


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
        command = ["simulate", "--model", str(file), *options, "--json"]
        said = json.loads(
            ask_worker(simulator.python, command, what="--exact", seconds=SIMULATE_SECONDS)
        )
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
