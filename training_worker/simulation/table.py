"""The command `simulate-table`: simulate many steps, drawn by a seed, into a file of rows.

Each row is a method on a public model's sizes, simulated with two layers and with three: what a
layer adds, it adds again at any depth. Rows are appended as JSON lines; those that stand in the
file are not simulated again. `--parquet` makes the shipped table of them.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metadata.features.model import known_models
from metadata.features.model_config import config_of
from metadata.methods import METHODS
from metadata.records import Configuration, ModelProfile
from metadata.simulated import SimulatedStep
from metadata.simulated_rows import SimulatedRow, row_of, write_rows
from metadata.space import sample
from training_worker.simulation.question import Question
from training_worker.simulation.simulate import simulate

SHAPES = 60
LAYERS = (2, 3)
MOST_TOKENS = 32_768  # of a micro-batch
Row = dict[str, Any]


def main(arguments: Sequence[str]) -> int:
    """Run `python -m training_worker simulate-table`; return 0 when done."""
    options = _parser().parse_args(arguments)
    done = _done(options.output)
    with options.output.open("a", encoding="utf-8") as rows:
        for number in range(options.start, options.count, options.stride):
            if number not in done:
                rows.write(json.dumps(_row(number)) + "\n")
                rows.flush()
    if options.parquet:
        write_rows(options.parquet, _whole(options.output))
    return 0


def _whole(file: Path) -> Iterator[SimulatedRow]:
    told = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    rows = map(row_of, sorted(told, key=lambda row: int(row["number"])))
    return (row for row in rows if row is not None)


def _done(file: Path) -> set[int]:
    if not file.exists():
        return set()
    return {json.loads(line)["number"] for line in file.read_text().splitlines()}


def shapes() -> list[ModelProfile]:
    """Return public models of different sizes, at most so many, spread over the table."""
    of_size = {_sizes(model): model for model in known_models()}
    found = [of_size[key] for key in sorted(of_size)]
    return [found[int(i)] for i in np.linspace(0, len(found) - 1, min(SHAPES, len(found)))]


def _sizes(model: ModelProfile) -> tuple[Any, ...]:
    return (model.family, model.hidden_size, model.mlp_width, model.heads, model.key_value_heads)


def _row(number: int) -> Row:
    names, models = sorted(METHODS), shapes()
    name = names[number % len(names)]
    rng = np.random.default_rng(number)
    row: Row = {"number": number, "method": name}
    for model in _drawn(models, rng):
        drawn = sample(model, count=1, rng=rng, methods=[name], optimizers=["adamw"])
        if drawn:
            return row | _simulated(_varied(drawn[0], rng), model, rng)
    return row | {"error": "no configuration"}


def _drawn(models: Sequence[ModelProfile], rng: np.random.Generator) -> Iterator[ModelProfile]:
    for number in rng.permutation(len(models))[:8]:
        yield models[int(number)]


def _varied(configuration: Configuration, rng: np.random.Generator) -> Configuration:
    checkpoints = METHODS[configuration.method.name].checkpoints
    update = {
        "precision": "bf16" if rng.random() < 0.6 else "fp32",
        "gradient_checkpointing": bool(checkpoints and rng.random() < 0.25),
        "attention": "sdpa" if rng.random() < 0.85 else "eager",
        "quantization": "none",
        "packing": False,
        "gradient_clipping": "global",
    }
    return configuration.model_copy(update=update)


def _simulated(configuration: Configuration, model: ModelProfile, rng: np.random.Generator) -> Row:
    length = int(2 ** rng.uniform(5, 12))
    most = min(32, max(1, MOST_TOKENS // length), max(1, model.context_tokens // length))
    length = min(length, model.context_tokens // 2)
    rows = int(2 ** rng.uniform(0, np.log2(most + 0.99)))
    targets = int(max(1, rng.choice([1.0, 0.5, 0.1]) * (length - 1)))
    asked = {
        "model": model.model_dump(mode="json"),
        "configuration": configuration.model_dump(mode="json"),
        "micro_batch_size": rows,
        "length_tokens": length,
        "targets": targets,
    }

    def at(layers: int) -> Row:
        return told(
            simulate(
                Question(
                    model=config_of(model.model_copy(update={"layers": layers})),
                    configuration=configuration,
                    micro_batch_size=rows,
                    length_tokens=length,
                    targets=targets,
                )
            )
        )

    try:
        return {**asked, "layers": {str(layers): at(layers) for layers in LAYERS}}
    except Exception as error:  # whatever a method or torch cannot carry: a row says so
        return {**asked, "error": f"{type(error).__name__}: {error}"[:200]}


def told(step: SimulatedStep) -> Row:
    """Return what a row says of a simulated step."""
    return {
        "trainable": step.trainable,
        "parameters": step.parameters,
        "kept_bytes": step.kept_bytes,
        "peaks": {phase: peak.model_dump(mode="json") for phase, peak in step.peaks.items()},
        "flops": step.flops,
        "bytes_moved": step.bytes_moved,
        "operations": step.operation_count,
        "optimizer_operations": sum(
            one.count for one in step.operations if one.phase == "optimizer"
        ),
        "matmul_bytes": sum(one.count * one.bytes_moved for one in step.operations if one.flops),
        "notes": list(step.notes),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training_worker simulate-table", description=__doc__
    )
    add = parser.add_argument
    add("--output", type=Path, required=True, help="JSON lines; rows that stand there are kept")
    add("--parquet", type=Path, help="file to make of them when done, at full depth")
    add("--count", type=int, default=840, help="rows in all")
    add("--start", type=int, default=0, help="first row, for several processes side by side")
    add("--stride", type=int, default=1, help="rows from one to the next, likewise")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
