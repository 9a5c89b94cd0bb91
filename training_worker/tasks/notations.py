"""Datasets of small languages: notes, programs, queries, tags, an invented tongue."""

from collections.abc import Iterator
from random import Random

from metadata.examples import Example
from training_worker.tasks import words
from training_worker.tasks.formal import foreign_word
from training_worker.tasks.grammar import number_words, past, plural, singular
from training_worker.tasks.spec import pair, specs_of
from training_worker.tasks.world import World


def _formatting(rng: Random, world: World) -> Iterator[Example]:
    """Write what is told in a fixed notation."""
    while True:
        who, day = rng.choice(world.people), rng.choice(words.WEEKDAYS)
        count, food = rng.randint(2, 40), rng.choice(words.FOODS)
        told = rng.choice(
            (
                f"{who.name} wants {number_words(count)} {plural(food)} on {day}.",
                f"Please bring {who.name} {count} {plural(food)} next {day}.",
                f"On {day}, {number_words(count)} {plural(food)} go to {who.name}.",
            )
        )
        first, last = who.name.split(" ", 1)
        note = f"[{day[:3].upper()}] {count:02d}x {singular(food)} -> {last.upper()}, {first[0]}."
        yield pair(f"Order: {told}\nNote:", note)


_ACTIONS = (
    ("go {n} steps forward", "F{d}"),
    ("turn left", "L"),
    ("turn right", "R"),
    ("wait {n} seconds", "W{d}"),
    ("pick up the {t}", "T({t})"),
    ("drop the {t}", "D({t})"),
)


def _robot(rng: Random, world: World) -> Iterator[Example]:
    """Turn wishes into the program of a small machine."""
    del world
    while True:
        chosen = [rng.choice(_ACTIONS) for _ in range(rng.randint(2, 4))]
        told, program = [], []
        for said, written in chosen:
            number, thing = rng.randint(1, 12), singular(rng.choice(words.THINGS))
            told.append(said.format(n=number_words(number), t=thing))
            program.append(written.format(d=number, t=thing))
        yield pair(f"Robot, {', then '.join(told)}.\nProgram:", "; ".join(program) + ";")


_CONDITIONS = (
    ("in {r}", '.where(region == "{r}")'),
    ("older than the year {y}", ".where(founded < {y})"),
    ("founded after {y}", ".where(founded > {y})"),
    ("on the river {v}", '.where(river == "{v}")'),
    ("known for {k}", '.where("{k}" in known_for)'),
)
_WANTED = (
    ("name all towns", ".select(name)"),
    ("count the towns", ".count()"),
    ("find the largest of the towns", ".max(population)"),
    ("find the oldest of the towns", ".min(founded)"),
)


def _queries(rng: Random, world: World) -> Iterator[Example]:
    """Turn a question about towns into a line of code."""
    while True:
        wanted, end = rng.choice(_WANTED)
        chosen = rng.sample(_CONDITIONS, rng.randint(1, 2))
        place = rng.choice(world.places)
        values = {
            "r": place.region,
            "v": place.river,
            "k": place.known_for,
            "y": rng.randint(900, 1950),
        }
        asked = " and ".join(said.format(**values) for said, _ in chosen)
        line = "towns" + "".join(code.format(**values) for _, code in chosen) + end
        yield pair(f"# {wanted} {asked}\n", line)


def _tagging(rng: Random, world: World) -> Iterator[Example]:
    """Give each word of a sentence its part of speech."""
    del world
    while True:
        parts = [
            ("the", "D"),
            (rng.choice(words.ADJECTIVES), "J"),
            (singular(rng.choice(words.ANIMALS + words.THINGS)), "N"),
            (past(rng.choice(words.TRANSITIVE)), "V"),
            (rng.choice(["a", "my", "this"]), "D"),
            (singular(rng.choice(words.FOODS + words.PLACES)), "N"),
            (rng.choice(words.ADVERBS), "R"),
        ]
        kept = [part for part in parts if part[1] not in "JR" or rng.random() < 0.5]
        told = " ".join(word for word, _ in kept)
        yield pair(f"Tag: {told}\nTags:", " ".join(f"{word}/{tag}" for word, tag in kept))


def _translation(rng: Random, world: World) -> Iterator[Example]:
    """Translate into the language of the world, whose words must be learnt."""
    nouns = rng.sample(words.ANIMALS + words.PEOPLE, 24)
    verbs, colours = rng.sample(words.TRANSITIVE, 8), words.COLOURS[:6]
    while True:
        subject, target = rng.sample(nouns, 2)
        verb, colour = rng.choice(verbs), rng.choice(colours)
        english = f"the {colour} {singular(subject)} {past(verb)} the {singular(target)}"
        foreign = [foreign_word(world, singular(w)) for w in (target, verb, subject, colour)]
        yield pair(f"English: {english}\nLanguage of {world.places[0].region}:", " ".join(foreign))


NOTATIONS = specs_of(
    ("formatting", "orders in a fixed notation", _formatting),
    ("robot", "wishes as programs of a small machine", _robot),
    ("queries", "questions about towns as a line of code", _queries),
    ("tagging", "parts of speech, word by word", _tagging),
    ("translation", "a language of 38 words to learn", _translation),
)
