"""What a base says of data before any training: cheap, and the same for users' data as for ours."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from metadata.errors import PeftwiseError
from metadata.examples import Example, read_examples, split_examples
from metadata.records import Configuration, Probe
from training_worker.data import Tokens, collate, encode, padding_id
from training_worker.model import choose_device, load_base
from training_worker.scoring import score, target_logits

SCORED, LEARNT = 64, 16  # examples; of the training part, so that a run's score stays unseen
LENGTH_TOKENS, ROWS = 256, 16
PLAIN = Configuration.model_validate(
    {
        "method": {"name": "full"},
        "optimizer": {"name": "adamw", "learning_rate": 1e-4},
        "precision": "fp32",
    }
)


def probe(base_model: str, examples: Sequence[Example], *, device: str = "auto") -> Probe:
    """Return the loss of the base on some training examples, its spread, accuracy and gradient.

    Args:
        base_model: Hugging Face id, folder, or the id of a shipped base model.
        examples: The training part; its first 64 are read, its first 16 give the gradient.
        device: auto, cpu or cuda.
    """
    base = load_base(base_model, PLAIN, choose_device(device))
    length = min(LENGTH_TOKENS, base.context_tokens)
    encoded = [
        encode(example, base.tokenizer, max_length_tokens=length) for example in examples[:SCORED]
    ]
    scores = score(base.model, encoded, base.tokenizer, batch_size=ROWS)
    loss_E = scores.nats_E / scores.tokens_E.clamp(min=1)
    return Probe(
        loss_mean=scores.loss,
        loss_spread=float(loss_E.std(correction=0)),
        token_accuracy=scores.token_accuracy,
        gradient_norm=_gradient_norm(base.model, encoded[:LEARNT], padding_id(base.tokenizer)),
    )


def _gradient_norm(model: Any, examples: Sequence[Tokens], padding: int) -> float:
    """Return the norm, over all weights, of the gradient of the mean loss of a completion token."""
    model.requires_grad_(True)
    batch = collate(examples, loss_on="completion", padding_id=padding, device=model.device)
    logits, labels, _ = target_logits(model, batch)
    nn.functional.cross_entropy(logits, labels).backward()
    norms = [weight.grad.norm() for weight in model.parameters() if weight.grad is not None]
    return float(torch.stack(norms).norm())


def main(arguments: Sequence[str]) -> int:
    """Run `python -m training_worker probe`; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m training_worker probe", description=__doc__)
    parser.add_argument("file", type=Path, help="training examples, JSON Lines")
    parser.add_argument("--model", required=True, help="Hugging Face id or folder")
    options = parser.parse_args(arguments)
    try:
        with options.file.open("rb") as lines:
            train = split_examples(tuple(read_examples(lines))).train
        sys.stdout.write(probe(options.model, train).model_dump_json(indent=2) + "\n")
    except PeftwiseError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"{options.file.name} cannot be read: {error.strerror}.\n")
        return 2
    return 0
