"""A training set in numbers: lengths, words, repetition, and what kind of task it is."""

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from math import log2

import numpy as np

from metadata.errors import InvalidDataset
from metadata.examples import Example, Preference
from metadata.records import DatasetKind, DatasetProfile, Lengths

SAMPLE_BYTES = 2**20  # compressed to measure repetition; zlib looks back only 32 KiB anyway
SAMPLE_EXAMPLES = 1000  # looked at one by one to tell extraction from generation
LABEL_BYTES = 64  # longer completions are no labels
LABELS = 1000
EXAMPLES_PER_LABEL = 2.0
COPIED_SHARE = 0.8  # of a completion's words, found in its prompt
COPY_LENGTH = 0.7  # as a share of the prompt; longer copies are rewriting, not extraction


def profile_dataset(
    examples: Sequence[Example], *, name: str, group: str | None = None
) -> DatasetProfile:
    """Return the meta-features of a training set.

    Args:
        examples: All examples, at least one.
        name: What a person calls the data.
        group: The fold of evaluation it belongs to; the SHA-256 of the examples where not given.

    Returns:
        Lengths in UTF-8 bytes. `compression_ratio` is zlib's compressed size over the raw one, of
        evenly spaced examples; `repeated_word_fraction` the share of words seen before. Of
        preferences, the completions that are preferred are described.

    Raises:
        InvalidDataset: There is no example.
    """
    if not examples:
        raise InvalidDataset("A dataset needs at least one example, got none. Add lines to it.")
    sha256 = _fingerprint(examples)
    completions = Counter(example.completion.strip() for example in examples)
    lengths = _lengths(example.completion for example in examples)
    distinct_words, words = _count_words(examples)
    return DatasetProfile(
        name=name,
        group=group or sha256,
        sha256=sha256,
        kind=_kind(examples, lengths, distinct_completions=len(completions)),
        examples=len(examples),
        prompt_bytes=_lengths(example.prompt for example in examples),
        completion_bytes=lengths,
        distinct_words=distinct_words,
        repeated_word_fraction=1.0 - distinct_words / max(words, 1) if words else 0.0,
        distinct_completions=len(completions),
        completion_entropy_bits=_entropy_bits(completions),
        duplicate_fraction=1.0 - len(set(examples)) / len(examples),
        compression_ratio=_compression_ratio(examples),
    )


def _fingerprint(examples: Iterable[Example]) -> str:
    digest = hashlib.sha256()
    for example in examples:
        content: list[object] = (
            [example.prompt, example.completion]
            if example.turns is None
            else [[turn.role, turn.content] for turn in example.turns]
        )
        if isinstance(example, Preference):
            content.append([example.rejected])
        digest.update(json.dumps(content, separators=(",", ":")).encode() + b"\n")
    return digest.hexdigest()


def _lengths(texts: Iterable[str]) -> Lengths:
    sizes = np.fromiter((len(text.encode()) for text in texts), dtype=np.int64)
    p50, p90, p99, largest = np.quantile(sizes, (0.5, 0.9, 0.99, 1.0), method="higher")
    return Lengths(
        mean=float(sizes.mean()), p50=int(p50), p90=int(p90), p99=int(p99), max=int(largest)
    )


def _count_words(examples: Iterable[Example]) -> tuple[int, int]:
    seen: set[str] = set()
    total = 0
    for example in examples:
        words = f"{example.prompt} {example.completion}".lower().split()
        seen.update(words)
        total += len(words)
    return len(seen), total


def _entropy_bits(counts: Counter[str]) -> float:
    total = counts.total()
    return max(0.0, -sum(count / total * log2(count / total) for count in counts.values()))


def _compression_ratio(examples: Sequence[Example]) -> float:
    mean_bytes = sum(len(e.prompt) + len(e.completion) for e in examples) / len(examples) + 1
    raw = "\n".join(
        f"{example.prompt}\n{example.completion}"
        for example in spaced(examples, count=max(1, int(SAMPLE_BYTES / mean_bytes)))
    ).encode()[:SAMPLE_BYTES]
    return len(zlib.compress(raw, level=6)) / len(raw)


def _kind(
    examples: Sequence[Example], completion: Lengths, *, distinct_completions: int
) -> DatasetKind:
    if isinstance(examples[0], Preference):
        return "preference"
    if not any(example.prompt.strip() for example in examples):
        return "text"
    labelled = distinct_completions <= min(LABELS, len(examples) / EXAMPLES_PER_LABEL)
    if labelled and completion.p90 <= LABEL_BYTES:
        return "classification"
    copies = [_is_copied(example) for example in spaced(examples, count=SAMPLE_EXAMPLES)]
    return "extraction" if sum(copies) > len(copies) / 2 else "generation"


def _is_copied(example: Example) -> bool:
    if len(example.completion) > COPY_LENGTH * len(example.prompt):
        return False
    if example.completion.strip() in example.prompt:
        return True
    prompt = set(_bare_words(example.prompt))
    words = _bare_words(example.completion)
    return bool(words) and sum(word in prompt for word in words) >= COPIED_SHARE * len(words)


def _bare_words(text: str) -> list[str]:
    return [word.strip(".,;:!?\"'()[]{}") for word in text.lower().split()]


def spaced(examples: Sequence[Example], *, count: int) -> list[Example]:
    """Return at most `count` examples, evenly spaced over all."""
    if len(examples) <= count:
        return list(examples)
    return [examples[index * len(examples) // count] for index in range(count)]
