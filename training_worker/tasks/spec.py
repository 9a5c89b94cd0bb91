"""What a generated dataset is, and how examples drawn one by one become its splits."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from random import Random

from metadata.examples import Example, Splits
from training_worker.tasks.text import WORLDS
from training_worker.tasks.world import World, build_world

SIZES = range(30, 10_001)  # examples to train on that a dataset of drawn examples may have
HELD_OUT = 1_250  # to validate and to test each, at every size: an eighth of the largest
_WORLD_SIZE = 40
_MOST_DRAWS = 50  # for each wanted example, until a new prompt must have been found

Drawn = Callable[[Random, World], Iterator[Example]]
Maker = Callable[[str, int], Splits]


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """One generated dataset.

    Attributes:
        name: What it is called.
        kind: The generator that it shares with others; these are one fold where asked for.
        description: What there is to learn, in a line.
        make: (seed, examples to train on) -> splits; the seed is a text.
        sizes: The numbers of examples to train on that it may have.
    """

    name: str
    kind: str
    description: str
    make: Maker
    sizes: range = SIZES


def drawn(make: Drawn) -> Maker:
    """Return a maker of splits from one that yields examples for ever.

    No prompt comes twice. What is held out is drawn first, so that every size has the same, and
    a smaller training part begins a larger one.
    """

    def splits(seed: str, train_examples: int) -> Splits:
        wanted = 2 * HELD_OUT + train_examples
        rng, found = Random(seed), dict[str, Example]()
        examples = make(rng, unseen_world(seed, size=_WORLD_SIZE))
        for example in islice(examples, wanted * _MOST_DRAWS):
            found.setdefault(example.prompt, example)
            if len(found) == wanted:
                break
        assert len(found) == wanted, f"{seed} has too few prompts: {len(found)} of {wanted}"
        kept = tuple(found.values())
        return Splits(
            test=kept[:HELD_OUT],
            validation=kept[HELD_OUT : 2 * HELD_OUT],
            train=kept[2 * HELD_OUT :],
        )

    return splits


def specs_of(*entries: tuple[str, str, Drawn]) -> tuple[DatasetSpec, ...]:
    """Return datasets of drawn examples, each of a kind of its own: name, description, maker."""
    return tuple(
        DatasetSpec(name=name, kind=name, description=description, make=drawn(make))
        for name, description, make in entries
    )


def pair(prompt: str, completion: str) -> Example:
    """Return an example of a prompt and what is to follow."""
    return Example(None, prompt, completion)


def unseen_world(seed: str, *, size: int) -> World:
    """Return a world of which no pretraining text tells, nor of anybody of the same name."""
    world = build_world(WORLDS + 1 + zlib.crc32(seed.encode()), size=size)
    told = _told_names()
    return World(
        places=tuple(place for place in world.places if place.name not in told),
        people=tuple(person for person in world.people if person.name not in told),
        works=tuple(work for work in world.works if work.title not in told),
    )


@lru_cache(maxsize=1)
def _told_names() -> frozenset[str]:
    worlds = [build_world(index) for index in range(WORLDS)]
    return frozenset(
        name
        for world in worlds
        for names in (
            (place.name for place in world.places),
            (person.name for person in world.people),
            (work.title for work in world.works),
        )
        for name in names
    )
