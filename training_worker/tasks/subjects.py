"""Who and what the question-answer datasets ask about: people, places, works, laws, machines."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random

from training_worker.tasks import words
from training_worker.tasks.facts import (
    AUTHOR,
    JOB,
    REGION,
    Fact,
    Relation,
    facts_of_person,
    facts_of_place,
    facts_of_work,
)
from training_worker.tasks.grammar import plural, singular
from training_worker.tasks.world import World, invent_word

FINE = Relation(
    attribute="fine",
    questions=(
        "How much must one pay for breaking {s}?",
        "What does it cost to break {s}?",
        "Which fine does {s} set?",
    ),
    statements=("who breaks {s} pays {v}.", "breaking {s} costs {v}."),
)
DUTY = Relation(
    attribute="demand",
    questions=(
        "What must one do under {s}?",
        "What does {s} ask of everybody?",
        "Which duty does {s} lay down?",
    ),
    statements=("{s} says: {v}.", "under {s} one has to {v}."),
)
EXEMPT = Relation(
    attribute="exception",
    questions=(
        "Who need not obey {s}?",
        "To whom does {s} not apply?",
        "Which people are free from {s}?",
    ),
    statements=("{s} does not apply to {v}.", "{v} need not obey {s}."),
)
DAY = Relation(
    attribute="day",
    questions=(
        "On which day does {s} apply?",
        "When is {s} in force?",
        "Which day of the week is the one of {s}?",
    ),
    statements=("{s} is in force every {v}.", "every {v}, {s} applies."),
)
KEEPER = Relation(
    attribute="keeper",
    questions=(
        "Who watches over {s}?",
        "Who punishes those who break {s}?",
        "Which person guards {s}?",
    ),
    statements=("{v} watches over {s}.", "{s} is guarded by {v}."),
)


def _measure(attribute: str, asked: str, adjective: str) -> Relation:
    return Relation(
        attribute=attribute,
        questions=(
            f"{asked}?",
            f"Which {attribute} does {{s}} have?",
            f"Look it up: how {adjective} is {{s}}?",
        ),
        statements=(f"{{s}} has a {attribute} of {{v}}.", f"the {attribute} of {{s}} is {{v}}."),
    )


WEIGHT = _measure("weight", "How much does {s} weigh", "heavy")
LENGTH = _measure("length", "How many metres long is {s}", "long")
SPEED = _measure("speed", "How many turns a minute does {s} make", "fast")
PRICE = _measure("price", "How much does {s} cost", "expensive")
POWER = _measure("power", "How many watts does {s} give", "strong")
AGE = _measure("year of construction", "When was {s} built", "old")

_MACHINES = words.listed("engine pump crane loom mill press drill clock boat lift winch furnace")
_WHEN = ("before sunrise", "at noon", "after dinner", "in winter", "in the rain", "at midnight")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of subject.

    Attributes:
        facts: Everything there is to know of each subject, from a world and chances of its own.
        qualified: How a subject is told from one of the same name, by the value of `by`.
        by: The relation that does so; it is not asked for then.
    """

    facts: Callable[[World, Random], Iterable[list[Fact]]]
    qualified: str
    by: Relation


def _laws(world: World, rng: Random) -> Iterator[list[Fact]]:
    for place in world.places:
        thing, verb = singular(rng.choice(words.THINGS)), singular(rng.choice(words.TRANSITIVE))
        values = (
            (FINE, f"{rng.randint(2, 99)} {rng.choice(['coins', 'pigs', 'days of work'])}"),
            (DUTY, f"{verb} the {singular(rng.choice(words.THINGS))} {rng.choice(_WHEN)}"),
            (EXEMPT, plural(rng.choice(words.PEOPLE))),
            (DAY, rng.choice(words.WEEKDAYS)),
            (KEEPER, rng.choice(world.people).name),
        )
        yield _about(f"the {thing.title()} Law of {place.name}", values)


def _machines(world: World, rng: Random) -> Iterator[list[Fact]]:
    for _ in world.people:
        values = (
            (WEIGHT, f"{rng.randint(20, 990)} kilograms"),
            (LENGTH, f"{rng.randint(2, 60)} metres"),
            (SPEED, f"{rng.randint(3, 400) * 5} turns a minute"),
            (PRICE, f"{rng.randint(10, 999) * 10:,} coins"),
            (POWER, f"{rng.randint(1, 99) * 100:,} watts"),
            (AGE, str(rng.randint(1700, 2030))),
        )
        name = invent_word(rng, syllables=2).capitalize()
        yield _about(f"the {name} {rng.choice(_MACHINES)}", values)


def _about(subject: str, values: Iterable[tuple[Relation, str]]) -> list[Fact]:
    return [Fact(subject=subject, relation=relation, value=value) for relation, value in values]


KINDS: Mapping[str, Kind] = {
    "people": Kind(
        facts=lambda world, _: map(facts_of_person, world.people),
        qualified="{s} the {v}",
        by=JOB,
    ),
    "places": Kind(
        facts=lambda world, _: map(facts_of_place, world.places),
        qualified="{s} in {v}",
        by=REGION,
    ),
    "works": Kind(
        facts=lambda world, _: map(facts_of_work, world.works),
        qualified="{s} by {v}",
        by=AUTHOR,
    ),
    "laws": Kind(facts=_laws, qualified="{s} that {v} keeps", by=KEEPER),
    "machines": Kind(facts=_machines, qualified="{s} of {v}", by=AGE),
}


def find_subjects(
    kind: str, world: World, rng: Random, *, namesakes: int = 1
) -> Iterator[list[Fact]]:
    """Yield the facts of one subject after the other.

    Each name comes once, or is that of `namesakes` subjects in a row that their questions tell
    apart.
    """
    named = {facts[0].subject: facts for facts in KINDS[kind].facts(world, rng)}
    if namesakes == 1:
        yield from named.values()
        return
    subjects = iter(named.values())
    while facts := next(subjects, None):
        yield from _namesakes(KINDS[kind], facts, subjects, namesakes)


def _namesakes(
    kind: Kind, first: list[Fact], others: Iterator[list[Fact]], count: int
) -> Iterator[list[Fact]]:
    """Yield a subject and those that come next under its name, unless too few are left."""
    made: dict[str, list[Fact]] = {}
    facts: list[Fact] | None = first
    while facts is not None:
        value = next(fact.value for fact in facts if fact.relation == kind.by)
        subject = kind.qualified.format(s=first[0].subject, v=value)
        asked = [replace(fact, subject=subject) for fact in facts if fact.relation != kind.by]
        made.setdefault(subject, asked)
        if len(made) == count:
            yield from made.values()
            return
        facts = next(others, None)
