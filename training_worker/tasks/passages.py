"""Datasets whose answer stands in a text: extraction, reading, claims, comparison, counting."""

from collections.abc import Iterator
from random import Random

from metadata.examples import Example
from training_worker.tasks import words
from training_worker.tasks.facts import Fact, facts_of_person, random_facts
from training_worker.tasks.grammar import Noun, clause, sentence, sentence_case, singular
from training_worker.tasks.spec import pair, specs_of
from training_worker.tasks.world import World


def _extraction(rng: Random, world: World) -> Iterator[Example]:
    """Find who, where and when in a report."""
    while True:
        who, where = rng.choice(world.people), rng.choice(world.places)
        year = rng.randint(1700, 2030)
        subject = Noun(who.name, plural=False, pronoun=who.pronoun)
        told = rng.choice(
            (
                f"In {year}, {clause(rng, subject, 'past')} in {where.name}.",
                f"{sentence_case(clause(rng, subject, 'past'))}. It was {year}, in {where.name}.",
                f"{where.name} in {year}: {clause(rng, subject, 'past')}.",
            )
        )
        text = f"{sentence(rng)} {told}" if rng.random() < 0.5 else f"{told} {sentence(rng)}"
        yield pair(f"Report: {text}\nWho, where, when:", f"{who.name} | {where.name} | {year}")


def _reading(rng: Random, world: World) -> Iterator[Example]:
    """Answer a question from a passage, in the words of the passage."""
    while True:
        facts = random_facts(rng, world)[:4]
        passage = " ".join(fact.statement(rng) for fact in facts)
        fact = rng.choice(facts)
        yield pair(f"{passage}\n{rng.choice(fact.questions)} It says:", fact.value)


def _claims(rng: Random, world: World) -> Iterator[Example]:
    """Say whether a claim agrees with a passage."""
    while True:
        one, other = rng.sample(world.people, 2)
        numbers = rng.sample(range(len(facts_of_person(one))), 3)
        told = [facts_of_person(one)[number] for number in numbers]
        fact, foreign = told[0], facts_of_person(other)[numbers[0]]
        if fact.value == foreign.value:
            continue
        holds = rng.random() < 0.5
        claimed = Fact(
            subject=fact.subject,
            relation=fact.relation,
            value=fact.value if holds else foreign.value,
        )
        passage = " ".join(fact.statement(rng) for fact in rng.sample(told, 3))
        yield pair(
            f"Passage: {passage}\nClaim: {claimed.statement(rng)}\nHolds:", "yes" if holds else "no"
        )


def _comparison(rng: Random, world: World) -> Iterator[Example]:
    """Say which of two was earlier, later, taller or smaller."""
    while True:
        first, second = (person.name for person in rng.sample(world.people, 2))
        low, high = sorted(rng.sample(range(1000, 2000), 2))
        said, least, most = rng.choice(
            (
                ("{} was born in {}.", "older", "younger"),
                ("{} arrived in {}.", "first", "last"),
                ("{} has {} coins.", "poorer", "richer"),
            )
        )
        lines = [said.format(first, low), said.format(second, high)]
        asked, answer = rng.choice(((least, first), (most, second)))
        yield pair(f"{' '.join(rng.sample(lines, 2))} Who is {asked}?\nAnswer:", answer)


def _counting(rng: Random, world: World) -> Iterator[Example]:
    """Say how often a thing is on a list."""
    del world
    while True:
        kinds = [singular(word) for word in rng.sample(words.THINGS + words.FOODS, 3)]
        items = [rng.choice(kinds) for _ in range(rng.randint(4, 10))]
        asked = rng.choice(items)
        yield pair(
            f"On the list: {', '.join(items)}. How often {asked}?\n", str(items.count(asked))
        )


PASSAGES = specs_of(
    ("extraction", "who, where and when in a short report", _extraction),
    ("reading", "answers that stand in a passage", _reading),
    ("claims", "yes or no: whether a passage says so", _claims),
    ("comparison", "which of two is older, first or richer", _comparison),
    ("counting", "how often a word is on a list", _counting),
)
