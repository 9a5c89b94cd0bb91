"""How long the texts of a batch are in tokens, and how many rows they take.

Annotations name the number of one configuration; of many there are columns
(`metadata.elementwise`).
"""

from itertools import pairwise

from metadata.elementwise import greatest, least, rounded_up, where
from metadata.features.task import completion_tokens, prompt_tokens
from metadata.records import Lengths, Task
from metadata.terms import Terms


def longest(terms: Terms, task: Task) -> int:
    """Return the tokens of the longest batch: of the longest example or a packed row, cut."""
    prompt, completion = task.dataset.prompt_bytes, task.dataset.completion_bytes
    whole = _cut((prompt.max + completion.max) / task.model.bytes_per_token, terms, task)
    packed = least(terms.batch_size * mean(terms, task), terms.max_length_tokens)
    return where(terms.packing, greatest(2, packed), whole)


def padded(terms: Terms, task: Task, size: int) -> int:
    """Return the usual length of a micro-batch, each example padded to the longest of it.

    The longest of `size` draws lies near the quantile size / (size + 1). Packed rows share the
    tokens of a batch.
    """
    parts = (task.dataset.prompt_bytes, task.dataset.completion_bytes)
    mean_bytes = sum(lengths.mean for lengths in parts)
    long_bytes = sum(_quantile(lengths, size / (size + 1)) for lengths in parts)
    most_bytes = greatest(mean_bytes, where(size > 1, long_bytes, 0.0))
    one = _cut(most_bytes / task.model.bytes_per_token, terms, task)
    tokens = terms.batch_size * mean(terms, task)
    packed = rounded_up(tokens / rows(terms, task, terms.batch_size))
    return where(terms.packing, packed, one)


def rows(terms: Terms, task: Task, examples: int) -> int:
    """Return how many rows so many examples take: one each, or packed, as few as hold them."""
    tokens = examples * mean(terms, task)
    packed = greatest(1, rounded_up(tokens / terms.max_length_tokens))
    return where(terms.packing, packed, examples)


def mean(terms: Terms, task: Task) -> int:
    """Return the usual length of an example."""
    parts = (task.dataset.prompt_bytes, task.dataset.completion_bytes)
    mean_bytes = sum(lengths.mean for lengths in parts)
    return _cut(mean_bytes / task.model.bytes_per_token, terms, task)


def share_of_targets(terms: Terms, task: Task) -> float:
    """Return the share of a batch's tokens that the loss is on."""
    completion = completion_tokens(task)
    return where(terms.learns_all, 1.0, completion / (completion + prompt_tokens(task)))


def _cut(tokens: float, terms: Terms, task: Task) -> int:
    """Return a length with its end token, at most what the method's own tokens leave to a text."""
    end = 1  # the token that ends a text
    limit = least(terms.max_length_tokens, task.model.context_tokens - terms.virtual_tokens)
    return greatest(2, least(rounded_up(tokens) + end, limit))


def _quantile(lengths: Lengths, share: float) -> float:
    points = ((0.5, lengths.p50), (0.9, lengths.p90), (0.99, lengths.p99), (1.0, lengths.max))
    found: float = lengths.max
    for (low, at_low), (high, at_high) in reversed(tuple(pairwise(points))):
        between = at_low + (at_high - at_low) * (share - low) / (high - low)
        found = where(share <= high, between, found)
    return found
