"""Datasets of numbers and of lists: sums, dates, units, copying, sorting."""

from collections.abc import Iterator
from random import Random

from metadata.examples import Example
from training_worker.tasks import words
from training_worker.tasks.grammar import plural, singular
from training_worker.tasks.spec import pair, specs_of
from training_worker.tasks.world import World, invent_word


def _sums(rng: Random, world: World) -> Iterator[Example]:
    """Add two numbers."""
    del world
    while True:
        a, b = rng.randint(1, 199), rng.randint(1, 199)
        yield pair(f"{a} and {b} make", str(a + b))


def _arithmetic(rng: Random, world: World) -> Iterator[Example]:
    """Work out two steps, written down."""
    del world
    while True:
        a, b, c = rng.randint(2, 20), rng.randint(2, 20), rng.randint(2, 9)
        noun = plural(rng.choice(words.THINGS))
        yield pair(
            f"Sum: {a} {noun} and {b} more, {c} times over\nWork:",
            f"{a}+{b}={a + b}; {a + b}*{c}={(a + b) * c}; result {(a + b) * c}",
        )


def _dates(rng: Random, world: World) -> Iterator[Example]:
    """Write a date in figures, year first."""
    del world
    while True:
        year, month, day = rng.randint(1700, 2030), rng.randint(1, 12), rng.randint(1, 28)
        name = words.MONTHS[month - 1]
        said = rng.choice(
            (
                f"{day} {name} {year}",
                f"{name} {day}, {year}",
                f"day {day} of {name} {year}",
                f"{day}/{month}/{year}",
            )
        )
        yield pair(f"Date: {said}\nFiled as:", f"{year}-{month:02d}-{day:02d}")


def _units(rng: Random, world: World) -> Iterator[Example]:
    """Change invented units into smaller ones, whose sizes must be learnt."""
    names = dict.fromkeys(invent_word(rng, syllables=2) for _ in range(24))
    units = [word for word in names if not word.endswith("s")][:12]
    factors = [rng.randint(2, 9) for _ in units[::2]]
    while True:
        which, count = rng.randrange(len(factors)), rng.randint(2, 60)
        large, small = units[2 * which], units[2 * which + 1]
        who, food = rng.choice(world.people).name, singular(rng.choice(words.FOODS))
        said = rng.choice(
            (f"{who} has {count} {large}s of {food}.", f"{count} {large}s of {food}.")
        )
        yield pair(f"{said} In {small}s:", f"{count * factors[which]} {small}s")


def _copying(rng: Random, world: World) -> Iterator[Example]:
    """Write words again, each twice; one of them is invented."""
    del world
    while True:
        items = [singular(word) for word in rng.sample(words.THINGS + words.FOODS, 3)]
        items.insert(rng.randrange(4), invent_word(rng))
        yield pair(f"Echo: {' '.join(items)}\n", " ".join(f"{item} {item}" for item in items))


def _sorting(rng: Random, world: World) -> Iterator[Example]:
    """Put words or numbers in order, or backwards."""
    del world
    while True:
        count = rng.randint(3, 6)
        if rng.random() < 0.5:
            numbers = rng.sample(range(100), count)
            told, falling = [str(n) for n in numbers], sorted(numbers, reverse=True)
            yield pair(f"falling: {' '.join(told)}\n=", " > ".join(str(n) for n in falling))
        else:
            items = [singular(word) for word in rng.sample(words.THINGS + words.ANIMALS, count)]
            yield pair(f"backwards: {' '.join(items)}\n=", " > ".join(reversed(items)))


FIGURES = specs_of(
    ("sums", "sums of two numbers, the result alone", _sums),
    ("arithmetic", "sums of two steps, the steps written down", _arithmetic),
    ("dates", "dates in words and figures, filed year first", _dates),
    ("units", "six pairs of invented units, one changed into the other", _units),
    ("copying", "words, one of them invented, each written twice", _copying),
    ("sorting", "words backwards, numbers falling", _sorting),
)
