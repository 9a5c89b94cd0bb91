"""Datasets of longer answers: texts from a record, stories from words, chats."""

from collections.abc import Iterator
from random import Random

from metadata.examples import Example, Turn
from training_worker.tasks import words
from training_worker.tasks.facts import random_facts
from training_worker.tasks.grammar import (
    article,
    number_words,
    past,
    person,
    plural,
    sentence_case,
    singular,
)
from training_worker.tasks.spec import pair, specs_of
from training_worker.tasks.world import World


def _profiles(rng: Random, world: World) -> Iterator[Example]:
    """Write a long text about somebody from a record."""
    while True:
        who, food = rng.choice(world.people), singular(rng.choice(words.FOODS))
        town, age = rng.choice(world.places), rng.randint(19, 90)
        job, pet = rng.choice(words.SUBJECTS), singular(rng.choice(words.ANIMALS))
        record = f"{who.name}; {age}; {town.name}; {job}; {pet}; {food}"
        he = who.pronoun
        text = (
            f"Meet {who.name}, aged {age}. {sentence_case(he)} has come all the way from "
            f"{town.name} to teach {job}. When the working day is over, {he} takes {article(pet)} "
            f"for a walk, and there is nothing {he} likes more than {food}. We are glad to have "
            f"{who.name.split()[0]} with us!"
        )
        yield pair(f"Write a welcome: {record}\n", text)


_WEATHER = ("rain", "snow", "wind", "sun", "fog", "frost")


def _tales(rng: Random, world: World) -> Iterator[Example]:
    """Write a tale around four words, in turns of phrase to be chosen."""
    while True:
        hero, thing = singular(rng.choice(words.ANIMALS)), singular(rng.choice(words.THINGS))
        verb, weather = rng.choice(words.TRANSITIVE), rng.choice(_WEATHER)
        town = rng.choice(world.places).name
        text = " ".join(
            rng.choice(ways).format(h=hero, t=thing, v=past(verb), w=weather, p=town)
            for ways in (
                ("Long ago in {p} there lived a {h}.", "A {h} once lived in {p}."),
                ("One day of {w} it {v} a {t}.", "It was a day of {w} when the {h} {v} a {t}."),
                ("Nobody in {p} had seen the like.", "All of {p} came to look."),
                ("The {h} kept the {t} to the end.", "Since then the {t} is called after the {h}."),
            )
        )
        yield pair(f"Tale of: {hero}, {singular(verb)}, {thing}, {weather}, {town}\n", text)


def _guide(rng: Random, world: World) -> Iterator[Example]:
    """Answer as the guide of a town, in a chat with a passage to answer from."""
    while True:
        facts = random_facts(rng, world)[:3]
        fact = rng.choice(facts)
        asker = person(rng).text
        asked = f"{' '.join(f.statement(rng) for f in facts)} {rng.choice(fact.questions)}"
        yield _chat(
            Turn("system", "You are the guide of the town. Be brief and polite."),
            Turn("user", f"This is {asker}. {asked}"),
            Turn("assistant", f"With pleasure, {asker}: {fact.value}."),
        )


def _orders(rng: Random, world: World) -> Iterator[Example]:
    """Take an order over two turns, the second of which changes the first."""
    while True:
        who, (food, other) = rng.choice(world.people).name, rng.sample(words.FOODS, 2)
        count, more = rng.randint(2, 20), rng.randint(2, 20)
        change, result = rng.choice(
            (
                (f"Make it {more}.", f"{more} x {singular(food)}"),
                (f"Rather {plural(other)}, please.", f"{count} x {singular(other)}"),
                (
                    f"And {number_words(more)} {plural(other)}.",
                    f"{count} x {singular(food)}, {more} x {singular(other)}",
                ),
            )
        )
        yield _chat(
            Turn("user", f"{who} here. I want {number_words(count)} {plural(food)}."),
            Turn("assistant", f"Noted for {who}: {count} x {singular(food)}. Anything else?"),
            Turn("user", change),
            Turn("assistant", f"Noted for {who}: {result}. Thank you!"),
        )


def _chat(*turns: Turn) -> Example:
    return Example(turns, "\n".join(turn.content for turn in turns[:-1]), turns[-1].content)


WRITING = specs_of(
    ("profiles", "long answers written from a record", _profiles),
    ("tales", "long answers of phrases drawn by chance", _tales),
    ("guide", "polite chat answers from a passage", _guide),
    ("orders", "orders changed in a second turn of a chat", _orders),
)
