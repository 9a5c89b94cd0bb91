"""The command `run`: train one configuration on one file and show how it went."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, get_args

from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from metadata.errors import InvalidConfiguration, InvalidRequest, PeftwiseError
from metadata.examples import read_examples, split_examples
from metadata.messages import Limits
from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS, SCHEDULES
from metadata.parameters import Parameter, defaults
from metadata.records import DPO_BETA, Configuration, Measurement, Objective, TrainingObjective
from training_worker.model import BASE_MODELS
from training_worker.request import StepTaken
from training_worker.run import RunRequest, RunResult, run


class Entry(Protocol):
    """What an entry of any of the tables has."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Return what the entry leaves open."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return 0 where the run succeeded, 1 where not, 2 where used wrongly."""
    options = _parser().parse_args(arguments)
    try:
        request = _request(options)
    except PeftwiseError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    result = _run_with_progress(request)
    if options.json:
        sys.stdout.write(json.dumps(as_json(result), indent=2) + "\n")
    else:
        Console().print(_table(result))
    return 0 if result.state == "succeeded" else 1


def as_json(result: RunResult) -> dict[str, object]:
    """Return a result as JSON values; the adapter by its folder's name."""
    folder = result.adapter_folder
    return {
        "state": result.state,
        "reason": result.reason,
        "scores": result.scores.model_dump() if result.scores else None,
        "costs": result.costs.model_dump(),
        "curve": [measurement.model_dump() for measurement in result.curve],
        "versions": result.versions,
        "device_name": result.device_name,
        "micro_batch_size": result.micro_batch_size,
        "adapter_folder": folder.name if folder else None,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training_worker run", description=__doc__)
    add = parser.add_argument
    add("file", type=Path, help="JSONL of messages, prompt and completion, text, or preferences")
    shipped = ", ".join(sorted(path.name for path in BASE_MODELS.glob("*/")))
    add("--model", required=True, help=f"Hugging Face id, folder, or one shipped ({shipped})")
    add("--configuration", required=True, help="a configuration as JSON, or a file of it")
    add("--output", type=Path, help="folder to write the adapter to")
    add("--objective", default="supervised", choices=get_args(TrainingObjective))
    add("--beta", type=float, help=f"of dpo: how dear leaving the base is; usually {DPO_BETA}")
    add("--device", default="auto", choices=("auto", "cpu", "cuda"), help="default: %(default)s")
    add("--seed", type=int, help="in the place of the configuration's")
    add("--evaluations", type=int, default=5, help="points of the curve; default: %(default)s")
    add("--train-seconds", type=float, help="stop as timed_out after so much training")
    add("--memory-bytes", type=int, help="end as out_of_memory above so many bytes of tensors")
    add("--json", action="store_true", help="print the whole result as JSON")
    return parser


def _request(options: argparse.Namespace) -> RunRequest:
    try:
        with options.file.open("rb") as lines:
            splits = split_examples(tuple(read_examples(lines)))
    except OSError as error:
        raise InvalidRequest(
            f"FILE must be a readable JSONL file; {options.file} is not ({error.strerror}). "
            "Check the name."
        ) from error
    if options.evaluations < 1:
        raise InvalidRequest(f"--evaluations must be at least 1, got {options.evaluations}.")
    if options.output is not None and options.output.exists():
        raise InvalidRequest(
            f"--output must be a new folder; {options.output} is there already. Name another."
        )
    configuration = read_configuration(options.configuration)
    if options.seed is not None:
        configuration = _configuration(configuration.model_dump() | {"seed": options.seed})
    return RunRequest(
        base_model=options.model,
        train=splits.train,
        validation=splits.validation,
        test=splits.test,
        configuration=configuration,
        objective=_objective(options),
        limits=_limits(options),
        device=options.device,
        output_folder=options.output,
        evaluations=options.evaluations,
    )


def read_configuration(given: str) -> Configuration:
    """Return the configuration that a JSON text or a file of one holds.

    Raises:
        InvalidConfiguration: It is not JSON, or not a configuration.
    """
    try:
        text = given if given.lstrip().startswith("{") else Path(given).read_text(encoding="utf-8")
        return _configuration(_with_defaults(json.loads(text)))
    except (OSError, ValueError) as error:
        raise InvalidConfiguration(
            f"--configuration must be JSON or a file of it: {error}. See the README for one."
        ) from error


def _configuration(values: object) -> Configuration:
    try:
        return Configuration.model_validate(values)
    except ValidationError as error:
        raise InvalidConfiguration(_first_fault(error)) from error


def _with_defaults(values: Any) -> Any:
    """Return a configuration's JSON with the defaults of its method, optimizer and schedule."""
    tables: dict[str, Mapping[str, Entry]] = {
        "method": METHODS,
        "optimizer": OPTIMIZERS,
        "schedule": SCHEDULES,
    }
    completed = dict(values) if isinstance(values, dict) else values
    for kind, table in tables.items():
        choice = completed.get(kind) if isinstance(completed, dict) else None
        name = choice.get("name") if isinstance(choice, dict) else None
        if isinstance(choice, dict) and isinstance(name, str) and name in table:
            completed[kind] = defaults(table[name].parameters) | choice
    return completed


def _objective(options: argparse.Namespace) -> Objective:
    try:
        return Objective.model_validate({"name": options.objective, "beta": options.beta})
    except ValidationError as error:
        raise InvalidRequest(_first_fault(error)) from error


def _limits(options: argparse.Namespace) -> Limits:
    values = {"train_seconds": options.train_seconds, "memory_bytes": options.memory_bytes}
    try:
        return Limits.model_validate(values)
    except ValidationError as error:
        raise InvalidRequest(_first_fault(error)) from error


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in fault["loc"])
    return f"{where}: {fault['msg']}, got {fault['input']!r}."


def _run_with_progress(request: RunRequest) -> RunResult:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("loading", total=None)

        def on_step(taken: StepTaken) -> None:
            progress.update(bar, completed=taken.step, total=taken.steps)

        def on_measurement(measurement: Measurement, share: float) -> None:
            del share
            if measurement.name == "loss" and measurement.split == "validation":
                progress.update(bar, description=f"validation {measurement.value:.3f}")

        return run(request, on_measurement=on_measurement, on_step=on_step)


def _table(result: RunResult) -> Table:
    table = Table(title=f"run {result.state}", title_justify="left", show_header=False)
    for name, value in _rows(result).items():
        table.add_row(name, value)
    return table


def _rows(result: RunResult) -> dict[str, str]:
    scores, costs = result.scores, result.costs
    rows = {"reason": result.reason} if result.reason else {}
    if scores is not None:
        unit = "completion token" if scores.preference is None else "pair"
        rows |= {
            "test loss, base": f"{scores.base_loss:.4f} nats per {unit}",
            "test loss, best": f"{scores.best_loss:.4f}",
            "test loss, last": f"{scores.last_loss:.4f}",
            "exact match": _share(scores.exact_match),
            "mean reciprocal rank": _share(scores.mean_reciprocal_rank),
        }
    if scores is not None and scores.preference is not None:
        found = scores.preference
        rows |= {
            "held-out margin": f"{found.margin:.4f}, base {found.base_margin:.4f}",
            "held-out accuracy": f"{found.accuracy:.3f}, base {found.base_accuracy:.3f}",
        }
    return rows | {
        "steps": f"{costs.steps:,}",
        "trained tokens": f"{costs.trained_tokens:,}",
        "trained weights": f"{costs.trainable_parameters:,}",
        "training": f"{costs.train_seconds:.1f} s, CPU {costs.train_cpu_seconds:.1f} s",
        "scoring": f"{costs.eval_seconds:.1f} s, CPU {costs.eval_cpu_seconds:.1f} s",
        "peak of tensors": f"{costs.peak_tensor_bytes / 2**20:,.1f} MiB",
        "device": result.device_name,
    }


def _share(value: float | None) -> str:
    return "not scored" if value is None else f"{value:.3f}"
