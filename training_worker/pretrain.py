"""Make a small base model from nothing: corpus, tokenizer, decoder, model card."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tokenizers import Tokenizer

from metadata.errors import PeftwiseError
from training_worker.forgetting import write_texts
from training_worker.pretraining.card import write_card
from training_worker.pretraining.corpus import Rows, sample, token_rows
from training_worker.pretraining.recipes import RECIPES
from training_worker.pretraining.settings import Layout, Precision, Settings
from training_worker.pretraining.tokenizer import (
    END_OF_TEXT,
    PADDING,
    as_transformers,
    learn_tokenizer,
    special_id,
)
from training_worker.pretraining.trainer import Trained, build_model, held_out_rows, train

_DEFAULTS = Settings(output=Path("model"), cache=Path())


def pretrain(settings: Settings) -> Trained:
    """Train a base model and write its folder: weights, tokenizer, model card."""
    console = Console(stderr=True)
    console.print("Learning the tokenizer")
    tokenizer = learn_tokenizer(sample(settings), vocabulary=settings.vocabulary)
    console.print("Turning the corpus into tokens")
    rows_NL = token_rows(settings, tokenizer)
    console.print(f"{rows_NL.size:,} tokens of corpus, {settings.steps:,} steps")
    model = build_model(
        settings,
        end_id=special_id(tokenizer, END_OF_TEXT),
        padding_id=special_id(tokenizer, PADDING),
    )
    trained = _train_with_bar(model, rows_NL, settings, console)
    save(model, tokenizer, trained, settings)
    write_texts(settings.output, tokenizer.decode_batch(held_out_rows(rows_NL, settings.seed)))
    return trained


def save(model: Any, tokenizer: Tokenizer, trained: Trained, settings: Settings) -> None:
    """Write a trained model in bf16 with its tokenizer and its card."""
    settings.output.mkdir(parents=True, exist_ok=True)
    model.to("cpu", torch.bfloat16).save_pretrained(settings.output)
    as_transformers(tokenizer, context_tokens=settings.context_tokens).save_pretrained(
        settings.output
    )
    card = write_card(settings, trained, bytes_per_token=bytes_per_token(settings, tokenizer))
    (settings.output / "README.md").write_text(card, encoding="utf-8")


def bytes_per_token(settings: Settings, tokenizer: Tokenizer) -> float:
    """Return the mean UTF-8 bytes of a token over the first documents of the corpus."""
    texts = [text for _, text in zip(range(2_000), sample(settings), strict=False)]
    tokens = sum(len(encoded.ids) for encoded in tokenizer.encode_batch(texts))
    return sum(len(text.encode()) for text in texts) / max(1, tokens)


def main(arguments: Sequence[str]) -> int:
    """Run `python -m training_worker pretrain`; return the exit status."""
    try:
        settings = _parse(arguments)
        trained = pretrain(settings)
    except PeftwiseError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    size = sum(path.stat().st_size for path in settings.output.rglob("*") if path.is_file())
    sys.stdout.write(
        f"{settings.output}: {trained.parameters:,} parameters, {size / 1e6:.2f} MB, "
        f"held-out loss {trained.held_out_loss:.3f}, {trained.tokens:,} tokens in "
        f"{trained.seconds:.0f} s\n"
    )
    return 0


def _train_with_bar(model: Any, rows_NL: Rows, settings: Settings, console: Console) -> Trained:
    columns = (
        TextColumn("loss {task.fields[loss]:.3f}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        row = bar.add_task("train", total=settings.steps, loss=float("nan"))
        return train(
            model,
            rows_NL,
            settings,
            report=lambda step, loss: bar.update(row, completed=step, loss=loss),
        )


def _parse(arguments: Sequence[str]) -> Settings:
    parser = argparse.ArgumentParser(prog="python -m training_worker pretrain", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder of the new model")
    parser.add_argument("--corpus", type=_folder, help="folder of text; default: our generators")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precision", choices=get_args(Precision), default=_DEFAULTS.precision)
    parser.add_argument("--compile", action="store_true", help="torch.compile the model")
    parser.add_argument("--layout", choices=get_args(Layout), default=_DEFAULTS.layout)
    parser.add_argument("--learning-rate", type=float, default=_DEFAULTS.learning_rate)
    for name in (
        "tokens", "corpus-tokens", "vocabulary", "hidden-size", "layers", "heads",
        "key-value-heads", "mlp-width", "context-tokens", "batch-tokens", "seed", "processes",
        "threads",
    ):  # fmt: skip
        default = getattr(_DEFAULTS, name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default:,}")
    parser.add_argument("--recipe", choices=RECIPES, help="other defaults, by a base model's name")
    recipe, _ = parser.parse_known_args(arguments)
    parser.set_defaults(**RECIPES.get(recipe.recipe, {}))
    options = vars(parser.parse_args(arguments))
    del options["recipe"]
    return Settings(**options)


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"must be a folder, {path.name!r} is none")
    return path
