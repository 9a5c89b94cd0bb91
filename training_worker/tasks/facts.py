"""Facts of an invented world, stated and asked for in many wordings."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from training_worker.tasks.grammar import article, sentence_case
from training_worker.tasks.world import Person, Place, Work, World

_GENERAL = (
    "What is the {a} of {s}?",
    "Tell me the {a} of {s}.",
    "Do you know the {a} of {s}?",
    "Name the {a} of {s}.",
    "I would like to know the {a} of {s}.",
    "{s}: {a}?",
    "Please give the {a} of {s}.",
    "What is {s}'s {a}?",
    "Can you say what the {a} of {s} is?",
)
WORDINGS = 12  # ways in which every fact is asked: the general ones and three of its own


@dataclass(frozen=True, kw_only=True)
class Relation:
    """An attribute: its name, three questions of its own, and statements of it."""

    attribute: str
    questions: tuple[str, str, str]
    statements: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One thing that is true in a world."""

    subject: str
    relation: Relation
    value: str

    @property
    def questions(self) -> tuple[str, ...]:
        """Ask for the value in `WORDINGS` ways."""
        templates = _GENERAL + self.relation.questions
        return tuple(sentence_case(self._fill(template)) for template in templates)

    def statement(self, rng: Random) -> str:
        """State the fact in one of its wordings."""
        general = ("the {a} of {s} is {v}.", "{s}'s {a} is {v}.")
        return sentence_case(self._fill(rng.choice(self.relation.statements + general)))

    def _fill(self, template: str) -> str:
        return template.format(a=self.relation.attribute, s=self.subject, v=self.value)


def _relation(attribute: str, questions: tuple[str, str, str], *statements: str) -> Relation:
    return Relation(attribute=attribute, questions=questions, statements=statements)


BIRTHPLACE = _relation(
    "birthplace",
    ("Where was {s} born?", "In which town was {s} born?", "Which town does {s} come from?"),
    "{s} was born in {v}.",
    "{s} comes from {v}.",
)
BORN = _relation(
    "year of birth",
    ("When was {s} born?", "In what year was {s} born?", "Which year is {s}'s birth year?"),
    "{s} was born in {v}.",
    "in {v}, {s} was born.",
)
HOME = _relation(
    "home town",
    ("Where does {s} live?", "In which town does {s} live?", "Which town is home to {s}?"),
    "{s} lives in {v}.",
    "{s} moved to {v} and stayed there.",
)
JOB = _relation(
    "job",
    ("What does {s} do for a living?", "What work does {s} do?", "What is {s} by trade?"),
    "{s} works as a {v}.",
    "{s} is a {v} by trade.",
)
SUBJECT = _relation(
    "favourite subject",
    ("What did {s} study?", "Which subject did {s} study?", "What did {s} learn at school?"),
    "{s} studied {v}.",
    "at university {s} learned {v}.",
)
COLOUR = _relation(
    "favourite colour",
    (
        "Which colour does {s} like best?",
        "What colour does {s} prefer?",
        "Which colour is {s}'s favourite?",
    ),
    "{s} likes {v} best.",
    "{s} prefers {v} to every other colour.",
)
PET = _relation(
    "pet",
    ("What animal does {s} keep?", "Which animal lives with {s}?", "What pet does {s} own?"),
    "{s} keeps a {v}.",
    "{s} has a {v} at home.",
)
FOOD = _relation(
    "favourite food",
    (
        "What does {s} like to eat?",
        "Which food does {s} love?",
        "What is it that {s} likes to eat?",
    ),
    "{s} loves {v}.",
    "{s} often eats {v}.",
)
REGION = _relation(
    "region",
    ("In which region is {s}?", "Where is {s}?", "To which region does {s} belong?"),
    "{s} is a town in {v}.",
    "{s} lies in {v}.",
)
RIVER = _relation(
    "river",
    ("Which river runs through {s}?", "On which river is {s}?", "What river passes {s}?"),
    "{s} lies on the river {v}.",
    "the {v} flows through {s}.",
)
FOUNDED = _relation(
    "founding year",
    ("When was {s} founded?", "In what year was {s} founded?", "How old a town is {s}, from when?"),
    "{s} was founded in {v}.",
    "people have lived in {s} since {v}.",
)
PEOPLE = _relation(
    "population",
    ("How many people live in {s}?", "How big is {s}?", "How many inhabitants does {s} have?"),
    "{s} has {v} inhabitants.",
    "about {v} people live in {s}.",
)
KNOWN_FOR = _relation(
    "speciality",
    ("What is {s} known for?", "Why is {s} famous?", "What do people buy or learn in {s}?"),
    "{s} is known for its {v}.",
    "visitors come to {s} for its {v}.",
)
AUTHOR = _relation(
    "author",
    ("Who made {s}?", "Who is the person behind {s}?", "By whom is {s}?"),
    "{s} was made by {v}.",
    "{v} is the author of {s}.",
)
YEAR = _relation(
    "year of completion",
    ("When was {s} finished?", "In what year did {s} appear?", "From which year is {s}?"),
    "{s} appeared in {v}.",
    "in {v}, {s} was finished.",
)
KIND = _relation(
    "kind",
    ("What kind of work is {s}?", "What is {s}?", "Is {s} a novel or something else?"),
    "{s} is a {v}.",
    "the {v} called {s} is well known.",
)
ABOUT = _relation(
    "theme",
    ("What is {s} about?", "What does {s} tell of?", "Which theme does {s} have?"),
    "{s} is about {v}.",
    "{s} tells of {v}.",
)


def facts_of_person(person: Person) -> list[Fact]:
    """Return what there is to know of somebody."""
    values = (
        (BIRTHPLACE, person.birthplace.name),
        (BORN, str(person.born)),
        (HOME, person.home.name),
        (JOB, person.job),
        (SUBJECT, person.subject),
        (COLOUR, person.colour),
        (PET, person.pet),
        (FOOD, person.food),
    )
    return [Fact(subject=person.name, relation=relation, value=value) for relation, value in values]


def facts_of_place(place: Place) -> list[Fact]:
    """Return what there is to know of a town."""
    values = (
        (REGION, place.region),
        (RIVER, place.river),
        (FOUNDED, str(place.founded)),
        (PEOPLE, f"{place.population:,}"),
        (KNOWN_FOR, place.known_for),
    )
    return [Fact(subject=place.name, relation=relation, value=value) for relation, value in values]


def facts_of_work(work: Work) -> list[Fact]:
    """Return what there is to know of a work."""
    values = (
        (AUTHOR, work.author.name),
        (YEAR, str(work.year)),
        (KIND, work.kind),
        (ABOUT, work.about),
    )
    return [Fact(subject=work.title, relation=relation, value=value) for relation, value in values]


def facts_of(world: World) -> Iterator[Fact]:
    """Yield every fact of a world, each subject's name only once."""
    seen: set[str] = set()
    groups = (
        *((p.name, facts_of_person(p)) for p in world.people),
        *((p.name, facts_of_place(p)) for p in world.places),
        *((w.title, facts_of_work(w)) for w in world.works),
    )
    for name, facts in groups:
        if name not in seen:
            seen.add(name)
            yield from facts


def random_facts(rng: Random, world: World) -> list[Fact]:
    """Return the facts of somebody or something, in a random order."""
    kind = rng.random()
    if kind < 0.5:
        facts = facts_of_person(rng.choice(world.people))
    elif kind < 0.75:
        facts = facts_of_place(rng.choice(world.places))
    else:
        facts = facts_of_work(rng.choice(world.works))
    return rng.sample(facts, len(facts))


def describe_person(person: Person) -> str:
    """Return one person in one sentence."""
    return (
        f"{person.name}, {article(person.job)} born in {person.birthplace.name} in {person.born}, "
        f"lives in {person.home.name} and keeps {article(person.pet)}."
    )
