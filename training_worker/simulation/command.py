"""The command `simulate`: what a training step needs, without weights and without a GPU."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metadata.checks import check
from metadata.errors import InvalidRequest, PeftwiseError
from metadata.records import Configuration
from metadata.simulated import SimulatedStep
from training_worker.model import resolve_model
from training_worker.run_command import read_configuration
from training_worker.simulation.cache import simulate_once
from training_worker.simulation.inference import Inference, simulate_inference
from training_worker.simulation.question import LONGEST_TOKENS, Question

FULL = "full"
MOST_BYTES = 4_000_000  # of a file that is read; a config has a few thousand
GIB = 2**30


def main(arguments: Sequence[str]) -> int:
    """Run `python -m training_worker simulate`; return 0 when done, 2 where used wrongly."""
    options = _parser().parse_args(arguments)
    try:
        question = _question(options)
        step = simulate_once(question, folder=options.cache)
        passes = _passes(question, options.new_tokens)
    except PeftwiseError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    told = answer(step) | ({"inference": passes.told()} if passes else {})
    as_json = json.dumps(told, indent=2) + "\n"
    sys.stdout.write(as_json if options.json else _table(step) + _table_of_passes(passes))
    return 0


def _passes(question: Question, new_tokens: int | None) -> Inference | None:
    return None if new_tokens is None else simulate_inference(question, new_tokens=new_tokens)


def _table_of_passes(passes: Inference | None) -> str:
    if passes is None:
        return ""
    evaluation, last = passes.evaluation.peak.peak_bytes, passes.last_token.peak.peak_bytes
    return (
        f"evaluation            {evaluation / GIB:.2f} GiB\n"
        f"generation            {passes.prompt.peak.peak_bytes / GIB:.2f} GiB on the prompt, "
        f"{last / GIB:.2f} at the last token, cache {passes.cache_bytes / GIB:.2f}\n"
    )


def answer(step: SimulatedStep) -> dict[str, Any]:
    """Return the simulated step as the command prints it."""
    return {
        "peak_tensor_bytes": step.peak_tensor_bytes,
        "peak_phase": step.peak_phase,
        "peaks": {phase: peak.model_dump(mode="json") for phase, peak in step.peaks.items()},
        "trainable": step.trainable,
        "parameters": step.parameters,
        "flops": step.flops,
        "bytes_moved": step.bytes_moved,
        "operations": step.operation_count,
        "operations_of": _by_name(step),
        "notes": list(step.notes),
    }


def _by_name(step: SimulatedStep) -> dict[str, dict[str, int]]:
    """Return operations by what they do, the commonest first."""
    found: dict[str, dict[str, int]] = {}
    for one in step.operations:
        of_name = found.setdefault(one.name, {"count": 0, "flops": 0, "bytes_moved": 0})
        of_name["count"] += one.count
        of_name["flops"] += one.count * one.flops
        of_name["bytes_moved"] += one.count * one.bytes_moved
    return dict(sorted(found.items(), key=lambda item: -item[1]["count"]))


def _table(step: SimulatedStep) -> str:
    lines = [
        f"peak of live tensors  {step.peak_tensor_bytes / GIB:.2f} GiB, in the {step.peak_phase}",
        *(
            f"  {phase:<10}{peak.peak_bytes / GIB:>8.2f}  "
            + ", ".join(f"{kind} {held / GIB:.2f}" for kind, held in peak.bytes_of.items())
            for phase, peak in step.peaks.items()
        ),
        f"trained weights       {step.trainable:,} of {step.parameters:,}",
        f"FLOPs                 {step.flops:.4g}",
        f"bytes moved           {step.bytes_moved:.4g}",
        f"operations            {step.operation_count:,}",
        *(f"note: {note}" for note in step.notes),
    ]
    return "\n".join(lines) + "\n"


def _question(options: argparse.Namespace) -> Question:
    model = _read(_model_file(options.model))
    adapter = configuration = None
    if options.configuration is not None:
        configuration = read_configuration(options.configuration)
        check(configuration)
    elif options.adapter != FULL:
        adapter = _read(Path(options.adapter))
    return Question(
        model=model,
        adapter=adapter,
        configuration=configuration or _plain(options),
        micro_batch_size=options.micro_batch_size,
        length_tokens=options.length,
        accumulates=options.accumulates,
        processes=options.processes,
        loss=options.loss or ("worker" if configuration else "model"),
        device_kind=options.device_kind,
    )


def _plain(options: argparse.Namespace) -> Configuration:
    return Configuration.model_validate(
        {
            "method": {"name": FULL},
            "optimizer": {"name": "adamw", "learning_rate": 1e-4},
            "max_length_tokens": min(max(8, options.length), LONGEST_TOKENS),
            "precision": options.precision,
            "attention": options.attention,
            "quantization": options.quantization,
            "gradient_checkpointing": options.gradient_checkpointing,
        },
    )


def _model_file(name: str) -> Path:
    path = Path(resolve_model(name))
    return path / "config.json" if path.is_dir() else path


def _read(path: Path) -> Mapping[str, Any]:
    rule = "must be a JSON file that holds an object"
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InvalidRequest(f"{path.name} must be under {MOST_BYTES:,} bytes.")
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"{path.name} {rule}; {type(error).__name__}. Check it.") from error
    if not isinstance(said, dict):
        raise InvalidRequest(f"{path.name} {rule}; it holds a {type(said).__name__}. Check it.")
    return said


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training_worker simulate", description=__doc__)
    add = parser.add_argument
    add("--model", required=True, help="a config.json, a folder with one, or a model shipped here")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--adapter", help="an adapter_config.json, or `full` for every weight")
    what.add_argument("--configuration", help="a configuration of ours, as JSON or a file of it")
    add("--micro-batch-size", type=int, required=True, help="texts that go through together")
    add("--length", type=int, required=True, metavar="TOKENS", help="tokens of each text")
    add("--precision", choices=("fp32", "bf16"), default="bf16")
    add("--attention", choices=("sdpa", "eager"), default="sdpa")
    add("--quantization", choices=("none", "int8", "nf4"), default="none", help="of the base")
    add("--gradient-checkpointing", action="store_true")
    add("--accumulates", action="store_true", help="a step has several micro-batches")
    add("--processes", type=int, default=1, help="GPUs that train together, with DDP")
    add("--device-kind", choices=("cuda", "cpu"), default="cuda", help="whose kernels to count")
    add(
        "--loss",
        choices=("worker", "model"),
        help="worker: as our worker computes it; model: the model's own, its logits kept until the "
        "next step, as most training loops do (the usual one for --adapter)",
    )
    add(
        "--new-tokens",
        type=int,
        metavar="TOKENS",
        help="also tell an evaluation of these texts, and so many tokens generated after each",
    )
    add("--cache", type=Path, help="folder to keep answers in")
    add("--json", action="store_true", help="print JSON")
    return parser
