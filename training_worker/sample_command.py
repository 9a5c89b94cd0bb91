"""The command `sample`: what a base model and what was made of it answer to the same prompts."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from metadata.errors import InvalidRequest, PeftwiseError
from training_worker.adapter import load_adapter
from training_worker.adapter_files import read_configuration
from training_worker.model import Base, load_base

MOST_TOKENS = 4096


def main(arguments: Sequence[str]) -> int:
    """Run `python -m training_worker sample`; prompts come as a JSON list on standard input."""
    options = _parser().parse_args(arguments)
    try:
        answers = sample(
            json.load(sys.stdin),
            base=options.base,
            tuned=options.tuned,
            most_tokens=options.most_tokens,
        )
    except PeftwiseError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(json.dumps(answers) + "\n")
    return 0


def sample(
    prompts: Sequence[str], *, base: str, tuned: Path, most_tokens: int
) -> list[dict[str, str]]:
    """Return for each prompt the greedy answers of base and tuned model.

    Args:
        prompts: As in the `prompt` of a training file.
        base: Hugging Face id, folder, or a shipped one.
        tuned: Folder of an adapter, or of whole weights.
        most_tokens: Of each answer.

    Raises:
        PeftwiseError: A model or the adapter cannot be loaded, or the tokens are out of range.
    """
    if not 1 <= most_tokens <= MOST_TOKENS:
        raise InvalidRequest(f"--most-tokens is 1 to {MOST_TOKENS:,}, got {most_tokens}.")
    configuration = read_configuration(tuned)
    whole = configuration.model_copy(update={"quantization": "none", "attention": "sdpa"})
    cpu = torch.device("cpu")
    loaded = load_base(base, whole, cpu)
    before = [_answer(loaded.model, loaded, prompt, most_tokens) for prompt in prompts]
    model = load_adapter(loaded.model, tuned)
    after = [_answer(model, loaded, prompt, most_tokens) for prompt in prompts]
    return [
        {"prompt": prompt, "base": one, "tuned": other}
        for prompt, one, other in zip(prompts, before, after, strict=True)
    ]


@torch.no_grad()
def _answer(model: Any, loaded: Base, prompt: str, most_tokens: int) -> str:
    model.eval()
    tokenizer = loaded.tokenizer
    given = tokenizer(prompt, return_tensors="pt", add_special_tokens=True)
    room = loaded.context_tokens - given["input_ids"].shape[1]
    if room < 1:
        raise InvalidRequest(
            f"A prompt must be shorter than the context of {loaded.context_tokens:,} tokens, got "
            f"{given['input_ids'].shape[1]:,}. Shorten it."
        )
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    ids = model.generate(
        input_ids=given["input_ids"],
        attention_mask=given["attention_mask"],
        max_new_tokens=min(most_tokens, room),
        do_sample=False,
        pad_token_id=padding,
    )
    new = ids[0, given["input_ids"].shape[1] :]
    text: str = tokenizer.decode(new, skip_special_tokens=True)
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training_worker sample", description=__doc__)
    add = parser.add_argument
    add("tuned", type=Path, help="folder that a run or a job wrote")
    add("--base", required=True, help="the base model: Hugging Face id, folder, or one shipped")
    add("--most-tokens", type=int, default=64, help="of each answer")
    return parser
