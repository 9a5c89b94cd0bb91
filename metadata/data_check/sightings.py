"""Remember which examples and prompts stood before, in 12 bytes each and not without end.

A key is 8 bytes of a hash; of 16 million keys two different ones are equal with a chance of one in
100,000.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from metadata.examples import Example, Preference

BYTES_PER_KEY = 12  # 8 of the hash, 4 of the line; as much again for moments, while keys are added
MOST_KEYS = 2**24  # 200 MB of each kind; beyond it only a share of the keys is remembered
RECENT_KEYS = 2**17  # kept aside before they are sorted in, some 20 MB


@dataclass(frozen=True)
class Sighting:
    """Lines that an example was met on before, None where it was not."""

    same_example: int | None = None
    same_prompt: int | None = None
    in_validation: int | None = None


class SeenKeys:
    """The first line of each key; of too many keys, of those alone that end in zero bits."""

    def __init__(self, *, most: int = MOST_KEYS, recent: int = RECENT_KEYS) -> None:
        """Remember at most `most` keys sorted, and `recent` more, or as many if that is less."""
        self._most, self._most_recent = most, min(most, recent)
        self._recent: dict[int, int] = {}
        self._keys_N = np.empty(0, dtype=np.uint64)
        self._lines_N = np.empty(0, dtype=np.uint32)
        self._mask = 0

    @property
    def share(self) -> float:
        """Return the share of keys that is remembered."""
        return 1 / (self._mask + 1)

    def first_line(self, key: int) -> int | None:
        """Return the line that a key was first met on."""
        if key & self._mask:
            return None
        line = self._recent.get(key)
        if line is not None or not len(self._keys_N):
            return line
        place = int(np.searchsorted(self._keys_N, np.uint64(key)))
        is_there = place < len(self._keys_N) and int(self._keys_N[place]) == key
        return int(self._lines_N[place]) if is_there else None

    def meet(self, key: int, line: int) -> int | None:
        """Return the line that a key was first met on; one not met is remembered."""
        first = self.first_line(key)
        if first is None and not key & self._mask:
            self._recent[key] = line
            if len(self._recent) >= self._most_recent:
                self._sort_in()
        return first

    def _sort_in(self) -> None:
        keys_M = np.fromiter(self._recent, dtype=np.uint64, count=len(self._recent))
        lines_M = np.fromiter(self._recent.values(), dtype=np.uint32, count=len(self._recent))
        self._recent = {}
        order_M = np.argsort(keys_M)
        places_M = np.searchsorted(self._keys_N, keys_M[order_M])
        self._keys_N = np.insert(self._keys_N, places_M, keys_M[order_M])
        self._lines_N = np.insert(self._lines_N, places_M, lines_M[order_M])
        while len(self._keys_N) > self._most:
            self._mask = self._mask * 2 + 1
            kept_N = (self._keys_N & np.uint64(self._mask)) == 0
            self._keys_N, self._lines_N = self._keys_N[kept_N], self._lines_N[kept_N]


class Sightings:
    """All that a check remembers of the examples of a file, and of its validation file."""

    def __init__(self, *, most_keys: int = MOST_KEYS) -> None:
        """Remember at most `most_keys` of each kind."""
        self._examples = SeenKeys(most=most_keys)
        self._questions = SeenKeys(most=most_keys)
        self._held_out: SeenKeys | None = None
        self._most_keys = most_keys

    @property
    def share(self) -> float:
        """Return the share of examples among which repeated ones are looked for."""
        held_out = 1.0 if self._held_out is None else self._held_out.share
        return min(self._examples.share, self._questions.share, held_out)

    def hold_out(self, example: Example, line: int) -> None:
        """Remember an example of the validation file."""
        if self._held_out is None:
            self._held_out = SeenKeys(most=self._most_keys)
        self._held_out.meet(_key([example.prompt or example.completion]), line)

    def meet(self, example: Example, line: int) -> Sighting:
        """Return where an example was met before, and remember it."""
        same_example = self._examples.meet(_example_key(example), line)
        question = _question(example)
        same_prompt = None if question is None else self._questions.meet(_key(question), line)
        in_validation = None
        if self._held_out is not None:
            key = _key([example.prompt or example.completion])
            in_validation = self._held_out.first_line(key)
        return Sighting(same_example, same_prompt, in_validation)


def _example_key(example: Example) -> int:
    if example.turns is not None:
        parts = [text for turn in example.turns for text in (turn.role, turn.content)]
    else:
        parts = [example.prompt, example.completion]
    if isinstance(example, Preference):
        parts += ["rejected", example.rejected]
    return _key(parts)


def _question(example: Example) -> list[str] | None:
    """Return what has one answer: a prompt, or a prompt with two completions to choose from."""
    if isinstance(example, Preference):
        return [example.prompt, *sorted((example.completion, example.rejected))]
    return [example.prompt] if example.prompt.strip() else None


def _key(parts: Iterable[str]) -> int:
    digest = blake2b(digest_size=8)
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return int.from_bytes(digest.digest(), "little")
