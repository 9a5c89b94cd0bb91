"""An invented world: places, people and works whose facts hang together, one world per seed."""

from dataclasses import dataclass
from random import Random

from training_worker.tasks import words
from training_worker.tasks.grammar import singular

_STARTS = words.listed("b br c ch d dr f g gl h j k kr l m n p pr qu r s sh st t th tr v w z")
_MIDDLES = words.listed("a e i o u ai ea ee oo ou ia io au")
_ENDS = words.listed("l n r s t m nd rn st x ck th ll lm sk")
_PLACE_ENDS = words.listed("ton ville burg dale mouth ford haven port field stead ia or a en")
_JOBS = [singular(job) for job in words.PEOPLE[9:42]]


@dataclass(frozen=True, kw_only=True)
class Place:
    """A town and its facts."""

    name: str
    region: str
    river: str
    founded: int
    population: int
    known_for: str


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody and their facts."""

    name: str
    pronoun: str
    born: int
    birthplace: Place
    home: Place
    job: str
    subject: str
    colour: str
    pet: str
    food: str


@dataclass(frozen=True, kw_only=True)
class Work:
    """Something somebody made."""

    title: str
    kind: str
    author: Person
    year: int
    about: str


@dataclass(frozen=True, kw_only=True)
class World:
    """Everything there is in one invented world."""

    places: tuple[Place, ...]
    people: tuple[Person, ...]
    works: tuple[Work, ...]


def invent_word(rng: Random, *, syllables: int | None = None) -> str:
    """Return a word that can be spoken and means nothing."""
    count = syllables or rng.choice([1, 2, 2, 3])
    parts = [rng.choice(_STARTS) + rng.choice(_MIDDLES) for _ in range(count)]
    return "".join(parts) + (rng.choice(_ENDS) if rng.random() < 0.6 else "")


def build_world(seed: int, *, size: int = 60) -> World:
    """Return the world of a seed: `size` people, half as many places, and their works."""
    rng = Random(f"world-{seed}")
    regions = [_name(rng, syllables=2) + rng.choice(["", "ia", "land"]) for _ in range(6)]
    places = tuple(_place(rng, regions) for _ in range(max(2, size // 2)))
    people = tuple(_person(rng, places) for _ in range(size))
    works = tuple(_work(rng, rng.choice(people)) for _ in range(size))
    return World(places=places, people=people, works=works)


def _name(rng: Random, *, syllables: int | None = None) -> str:
    return invent_word(rng, syllables=syllables).capitalize()


def _place(rng: Random, regions: list[str]) -> Place:
    return Place(
        name=_name(rng, syllables=rng.choice([1, 2])) + rng.choice(_PLACE_ENDS),
        region=rng.choice(regions),
        river=_name(rng),
        founded=rng.randint(900, 1950),
        population=rng.randint(3, 990) * rng.choice([100, 1000]),
        known_for=rng.choice([*words.SUBJECTS, *words.MATERIALS, *words.FOODS[:10]]).split("/")[0],
    )


def _person(rng: Random, places: tuple[Place, ...]) -> Person:
    last = rng.choice(words.SURNAMES) if rng.random() < 0.5 else _name(rng)
    return Person(
        name=f"{rng.choice(words.FIRST_NAMES)} {last}",
        pronoun=rng.choice(["he", "she"]),
        born=rng.randint(1800, 1990),
        birthplace=rng.choice(places),
        home=rng.choice(places),
        job=rng.choice(_JOBS),
        subject=rng.choice(words.SUBJECTS),
        colour=rng.choice(words.COLOURS),
        pet=singular(rng.choice(words.ANIMALS)),
        food=singular(rng.choice(words.FOODS)),
    )


def _work(rng: Random, author: Person) -> Work:
    noun = singular(rng.choice(words.THINGS + words.PLACES + words.ABSTRACT)).title()
    adjective = rng.choice(words.ADJECTIVES).title()
    title = rng.choice([f"The {adjective} {noun}", f"{adjective} {noun}", f"The {noun}"])
    return Work(
        title=title,
        kind=rng.choice(words.GENRES),
        author=author,
        year=author.born + rng.randint(20, 60),
        about=singular(rng.choice(words.ABSTRACT + words.ANIMALS)),
    )
