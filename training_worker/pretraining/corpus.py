"""A corpus as rows of token ids, each as long as the context.  Axes: N rows, L tokens."""

import hashlib
import json
import lzma
import multiprocessing
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from metadata.errors import InvalidDataset, InvalidRequest
from training_worker.pretraining.settings import Settings
from training_worker.pretraining.tokenizer import END_OF_TEXT, special_id
from training_worker.tasks.text import documents

Rows = NDArray[np.uint16]
SAMPLE_BYTES = 12_000_000  # enough for the pieces of a small vocabulary to settle
_SAMPLE_OF_TOKENS = 8  # bytes for each token trained on: a short training needs no long sample
SHARD_TOKENS = 1_000_000  # of our own generators, one seed each, so that processes share the work
_DOCUMENTS_AT_ONCE = 512
_SEEDS_APART = 1_000_003  # of two pretraining seeds, more than there are shards of one


def sample(settings: Settings) -> Iterator[str]:
    """Yield documents from which the tokenizer is learnt."""
    enough = min(SAMPLE_BYTES, _SAMPLE_OF_TOKENS * settings.tokens)
    read = 0
    for text in texts(settings):
        yield text
        read += len(text)
        if read > enough:
            return


def texts(settings: Settings) -> Iterator[str]:
    """Yield documents: those of a folder once, or ours for ever.

    Raises:
        InvalidRequest: The folder holds no readable text.
    """
    if settings.corpus is None:
        yield from documents(settings.seed * _SEEDS_APART)
        return
    files = sorted(path for path in settings.corpus.rglob("*") if _reader(path) is not None)
    if not files:
        raise InvalidRequest(
            f"--corpus must hold *.txt, *.md, *.jsonl or *.jsonl.xz, {settings.corpus.name!r} "
            "holds none. Name another folder.",
            param="corpus",
        )
    for path in files:
        yield from _read(path)


def token_rows(settings: Settings, tokenizer: Tokenizer) -> Rows:
    """Return the corpus as rows of token ids, shape (N, L), from the cache if it is there."""
    path = settings.cache / f"peftwise-corpus-{_cache_key(settings, tokenizer)}.npy"
    if path.is_file():
        return np.asarray(np.load(path, allow_pickle=False), dtype=np.uint16)
    ids = (
        _own_tokens(settings, tokenizer)
        if settings.corpus is None
        else _folder(settings, tokenizer)
    )
    length = settings.context_tokens
    rows = ids[: len(ids) // length * length].reshape(-1, length)
    if len(rows) < 2:
        raise InvalidRequest(
            f"The corpus must make at least two rows of {length} tokens, it has {len(ids)} tokens. "
            "Add text or lower --context-tokens.",
            param="corpus",
        )
    settings.cache.mkdir(parents=True, exist_ok=True)
    np.save(path, rows)
    return rows


def _cache_key(settings: Settings, tokenizer: Tokenizer) -> str:
    made_from = [
        str(settings.corpus and settings.corpus.resolve()),
        min(settings.tokens, settings.corpus_tokens),
        settings.context_tokens,
        settings.seed,
        tokenizer.to_str(),  # changes with the generators, from whose text it is learnt
    ]
    return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:16]


def _own_tokens(settings: Settings, tokenizer: Tokenizer) -> Rows:
    wanted = min(settings.tokens, settings.corpus_tokens)
    shards = -(-wanted // SHARD_TOKENS)
    size = -(-wanted // shards)
    first = settings.seed * _SEEDS_APART
    work = [(tokenizer.to_str(), first + shard, size) for shard in range(shards)]
    if settings.processes == 1 or shards == 1:
        parts = [_shard(item) for item in work]
    else:
        with multiprocessing.get_context("spawn").Pool(settings.processes) as pool:
            parts = pool.map(_shard, work, chunksize=1)
    return np.concatenate(parts)


def _shard(item: tuple[str, int, int]) -> Rows:
    written, seed, size = item
    return _encode(documents(seed), Tokenizer.from_str(written), size=size)


def _folder(settings: Settings, tokenizer: Tokenizer) -> Rows:
    return _encode(texts(settings), tokenizer, size=None)


def _encode(source: Iterator[str], tokenizer: Tokenizer, *, size: int | None) -> Rows:
    """Return documents as token ids end to end, each ended by the end-of-text token."""
    end = special_id(tokenizer, END_OF_TEXT)
    parts: list[Rows] = []
    count = 0
    while size is None or count < size:
        batch = list(islice(source, _DOCUMENTS_AT_ONCE))
        if not batch:
            break
        encoded = tokenizer.encode_batch(batch)
        ids = [token for text in encoded for token in (*text.ids, end)]
        parts.append(np.array(ids, dtype=np.uint16))
        count += len(ids)
    return np.concatenate(parts)[:size] if parts else np.zeros(0, dtype=np.uint16)


def _reader(path: Path) -> Any:
    if path.name.endswith(".jsonl.xz"):
        return lzma.open
    return open if path.suffix in {".txt", ".md", ".jsonl"} else None


def _read(path: Path) -> Iterator[str]:
    with _reader(path)(path, "rt", encoding="utf-8", errors="replace") as file:
        if path.suffix in {".txt", ".md"}:
            yield file.read()
            return
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _text_of(line, path.name, number)


def _text_of(line: str, name: str, number: int) -> str:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        raise InvalidDataset(
            f"Every line of a corpus in JSONL must be an object with a text under `text`; line "
            f"{number} of {name} is not. Mend the line.",
            line=number,
        )
    return str(record["text"])
