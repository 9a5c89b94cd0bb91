"""The command `export`: turn a saved adapter into merged weights or a plain LoRA adapter."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from metadata.errors import InvalidRequest, PeftwiseError
from metadata.records import Configuration
from training_worker.adapter import load_adapter, save_adapter
from training_worker.adapter_files import read_configuration
from training_worker.model import load_base


def main(arguments: Sequence[str]) -> int:
    """Run `python -m training_worker export`; return 0 when done, 2 where used wrongly."""
    options = _parser().parse_args(arguments)
    try:
        _export(options)
    except PeftwiseError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(f"{options.output}\n")
    return 0


def _export(options: argparse.Namespace) -> None:
    if options.output.exists():
        raise InvalidRequest(
            f"--output must be a new folder; {options.output.name} is there already. Name another."
        )
    configuration = read_configuration(options.adapter)
    base = load_base(options.base, _unquantized(configuration), torch.device("cpu"))
    model = load_adapter(base.model, options.adapter)
    save_adapter(model, configuration, options.output, serve_with=options.serve_with)


def _unquantized(configuration: Configuration) -> Configuration:
    """Return the configuration for whole weights: what is merged is merged into them."""
    return configuration.model_copy(update={"quantization": "none", "attention": "sdpa"})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training_worker export", description=__doc__)
    add = parser.add_argument
    add("adapter", type=Path, help="folder that a run or a job wrote")
    add("--base", required=True, help="the base model: Hugging Face id, folder, or one shipped")
    add(
        "--serve-with",
        required=True,
        choices=("peft", "merged", "vllm"),
        help="merged: whole weights that anything loads; vllm: a plain LoRA adapter",
    )
    add("--output", type=Path, required=True, help="new folder to write")
    return parser
