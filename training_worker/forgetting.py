"""What a model forgets: how much worse it reads the text that its base was trained on."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training_worker.data import Tokens

HELD_OUT_FILE = "held_out.jsonl"  # beside a base model of ours: text that it has not read
TEXT_TOKENS = 128


def encode_texts(texts: Sequence[str], tokenizer: Any, *, context_tokens: int) -> list[Tokens]:
    """Return texts as tokens of which all but the first count, cut to 128 each."""
    length = min(TEXT_TOKENS, context_tokens)
    encoded = (tuple(tokenizer(text).input_ids[:length]) for text in texts)
    return [Tokens(ids, (False,) + (True,) * (len(ids) - 1)) for ids in encoded if len(ids) > 1]


def read_texts(folder: Path) -> tuple[str, ...]:
    """Return the held-out text of a base model's folder; none where it has none."""
    file = folder / HELD_OUT_FILE
    if not file.is_file():
        return ()
    lines = file.read_text(encoding="utf-8").splitlines()
    return tuple(str(json.loads(line)["text"]) for line in lines)


def write_texts(folder: Path, texts: Sequence[str]) -> None:
    """Write the held-out text of a base model beside it."""
    lines = (json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
    (folder / HELD_OUT_FILE).write_text("".join(lines), encoding="utf-8")
