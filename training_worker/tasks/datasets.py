"""Datasets to fine-tune on, made of invented worlds that no pretraining text tells of.

The same name and seed give the same examples. `write_dataset` writes them in the order train,
validation, test.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

from metadata.examples import Example, Splits, Turn
from training_worker.tasks import words
from training_worker.tasks.facts import WORDINGS, facts_of, random_facts
from training_worker.tasks.formal import foreign_word
from training_worker.tasks.grammar import (
    Noun,
    article,
    clause,
    number_words,
    past,
    person,
    plural,
    sentence,
    sentence_case,
    singular,
)
from training_worker.tasks.text import WORLDS
from training_worker.tasks.world import World, build_world, invent_word

TRAIN_EXAMPLES, VALIDATION_EXAMPLES, TEST_EXAMPLES = 640, 80, 160
FACTS = 64  # of the dataset of facts; each makes ten examples to train, one each to choose and test
LABEL_NOISE = 0.1  # share of wrong labels, in training only
_MOST_DRAWS = 50  # per wanted example, until a new prompt must have been found
_WORLD_SIZE = 40


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """One kind of generated dataset; `make` splits it with a world and chances of its own."""

    name: str
    description: str
    make: Callable[[Random, World], Splits]


def build_dataset(name: str, *, seed: int = 0) -> Splits:
    """Return the examples of a dataset by its name; a KeyError names one that is not there."""
    world = build_world(WORLDS + 1 + seed, size=_WORLD_SIZE)
    return DATASETS[name].make(Random(f"{name}-{seed}"), world)


def write_dataset(path: Path, splits: Splits) -> int:
    """Write a dataset as JSON Lines, in the order train, validation, test; return its lines."""
    examples = (*splits.train, *splits.validation, *splits.test)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for example in examples:
            file.write(json.dumps(_record(example), ensure_ascii=False) + "\n")
    return len(examples)


def _record(example: Example) -> Mapping[str, object]:
    if example.turns is None:
        return {"prompt": example.prompt, "completion": example.completion}
    return {"messages": [{"role": t.role, "content": t.content} for t in example.turns]}


Pair = tuple[str, str]


def _independent(make: Callable[[Random, World], Iterator[Pair]]) -> Callable[..., Splits]:
    """Return a maker that draws different prompts and cuts them into splits."""

    def split(rng: Random, world: World) -> Splits:
        wanted = TRAIN_EXAMPLES + VALIDATION_EXAMPLES + TEST_EXAMPLES
        found: dict[str, str] = {}
        for prompt, completion in islice(make(rng, world), wanted * _MOST_DRAWS):
            found.setdefault(prompt, completion)
            if len(found) == wanted:
                break
        return _cut([Example(None, prompt, completion) for prompt, completion in found.items()])

    return split


def _cut(examples: list[Example]) -> Splits:
    first = round(
        len(examples) * TRAIN_EXAMPLES / (TRAIN_EXAMPLES + VALIDATION_EXAMPLES + TEST_EXAMPLES)
    )
    middle = first + (len(examples) - first) // 3
    return Splits(
        train=tuple(examples[:first]),
        validation=tuple(examples[first:middle]),
        test=tuple(examples[middle:]),
    )


def _facts(rng: Random, world: World) -> Splits:
    """Ask every fact in ten wordings to train, in another to validate, in another to test."""
    parts: tuple[list[Example], list[Example], list[Example]] = ([], [], [])
    for fact in rng.sample(list(facts_of(world)), FACTS):
        for number, question in enumerate(rng.sample(fact.questions, WORDINGS)):
            part = parts[max(0, number - (WORDINGS - 3))]
            part.append(Example(None, f"Question: {question}\nAnswer:", fact.value))
    for part in parts:
        rng.shuffle(part)
    return Splits(train=tuple(parts[0]), validation=tuple(parts[1]), test=tuple(parts[2]))


_TOPICS = {
    "animal": words.ANIMALS,
    "food": words.FOODS,
    "place": words.PLACES,
    "person": words.PEOPLE,
    "thing": words.THINGS,
}


def _labels(rng: Random, world: World) -> Splits:
    """Give messages a label by their topic; the labels mean nothing beforehand."""
    del world
    labels = {topic: invent_word(rng, syllables=2) for topic in _TOPICS}
    clean = _independent(lambda chances, _: _labelled(chances, labels))(rng, None)
    return Splits(
        train=tuple(_noisy(rng, example, sorted(labels.values())) for example in clean.train),
        validation=clean.validation,
        test=clean.test,
    )


def _labelled(rng: Random, labels: Mapping[str, str]) -> Iterator[Pair]:
    templates = (
        "I would like to talk about the {}.",
        "Have you heard of the {} and the {}?",
        "My {} is {} than yours.",
        "We lost our {} last week, it was {}.",
        "Nobody here knows anything about a {}.",
        "Is it true that the {} is so {}?",
    )
    while True:
        topic = rng.choice(sorted(labels))
        first, second = (singular(word) for word in rng.sample(_TOPICS[topic], 2))
        template = rng.choice(templates)
        other = second if "and" in template else f"more {rng.choice(words.ADJECTIVES)}"
        yield f"Message: {template.format(first, other)}\nLabel:", labels[topic]


def _noisy(rng: Random, example: Example, labels: list[str]) -> Example:
    if rng.random() >= LABEL_NOISE:
        return example
    return Example(None, example.prompt, rng.choice(labels))


def _extraction(rng: Random, world: World) -> Iterator[Pair]:
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
        yield f"Report: {text}\nWho, where, when:", f"{who.name} | {where.name} | {year}"


def _arithmetic(rng: Random, world: World) -> Iterator[Pair]:
    """Work out two steps, written down."""
    del world
    while True:
        a, b, c = rng.randint(2, 20), rng.randint(2, 20), rng.randint(2, 9)
        noun = plural(rng.choice(words.THINGS))
        yield (
            f"Sum: {a} {noun} and {b} more, {c} times over\nWork:",
            f"{a}+{b}={a + b}; {a + b}*{c}={(a + b) * c}; result {(a + b) * c}",
        )


def _sorting(rng: Random, world: World) -> Iterator[Pair]:
    """Put words or numbers in order, or backwards."""
    del world
    while True:
        count = rng.randint(3, 6)
        if rng.random() < 0.5:
            numbers = rng.sample(range(100), count)
            items, falling = [str(n) for n in numbers], sorted(numbers, reverse=True)
            yield f"falling: {' '.join(items)}\n=", " > ".join(str(n) for n in falling)
        else:
            items = [singular(word) for word in rng.sample(words.THINGS + words.ANIMALS, count)]
            yield f"backwards: {' '.join(items)}\n=", " > ".join(reversed(items))


def _formatting(rng: Random, world: World) -> Iterator[Pair]:
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
        code = f"[{day[:3].upper()}] {count:02d}x {singular(food)} -> {last.upper()}, {first[0]}."
        yield f"Order: {told}\nNote:", code


def _robot(rng: Random, world: World) -> Iterator[Pair]:
    """Turn wishes into the program of a small machine."""
    del world
    actions = (
        ("go {n} steps forward", "F{d}"),
        ("turn left", "L"),
        ("turn right", "R"),
        ("wait {n} seconds", "W{d}"),
        ("pick up the {t}", "T({t})"),
        ("drop the {t}", "D({t})"),
    )
    while True:
        chosen = [rng.choice(actions) for _ in range(rng.randint(2, 4))]
        told, program = [], []
        for said, written in chosen:
            number, thing = rng.randint(1, 12), singular(rng.choice(words.THINGS))
            told.append(said.format(n=number_words(number), t=thing))
            program.append(written.format(d=number, t=thing))
        yield f"Robot, {', then '.join(told)}.\nProgram:", "; ".join(program) + ";"


def _profiles(rng: Random, world: World) -> Iterator[Pair]:
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
        yield f"Write a welcome: {record}\n", text


def _translation(rng: Random, world: World) -> Iterator[Pair]:
    """Translate into the language of the world, whose words must be learnt."""
    nouns = rng.sample(words.ANIMALS + words.PEOPLE, 14)
    verbs, colours = rng.sample(words.TRANSITIVE, 8), words.COLOURS[:6]
    while True:
        subject, target = rng.sample(nouns, 2)
        verb, colour = rng.choice(verbs), rng.choice(colours)
        english = f"the {colour} {singular(subject)} {past(verb)} the {singular(target)}"
        foreign = [foreign_word(world, singular(w)) for w in (target, verb, subject, colour)]
        yield f"English: {english}\nLanguage of {world.places[0].region}:", " ".join(foreign)


def _tagging(rng: Random, world: World) -> Iterator[Pair]:
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
        yield f"Tag: {told}\nTags:", " ".join(f"{word}/{tag}" for word, tag in kept)


def _guide(rng: Random, world: World) -> Splits:
    """Answer as the guide of a town, in a chat with a passage to answer from."""
    examples = []
    for _ in range(TRAIN_EXAMPLES + VALIDATION_EXAMPLES + TEST_EXAMPLES):
        facts = random_facts(rng, world)[:3]
        fact = rng.choice(facts)
        asker = person(rng).text
        asked = f"{' '.join(f.statement(rng) for f in facts)} {rng.choice(fact.questions)}"
        turns = (
            Turn("system", "You are the guide of the town. Be brief and polite."),
            Turn("user", f"This is {asker}. {asked}"),
            Turn("assistant", f"With pleasure, {asker}: {fact.value}."),
        )
        examples.append(Example(turns, f"{turns[0].content}\n{turns[1].content}", turns[2].content))
    return _cut(examples)


DATASETS: Mapping[str, DatasetSpec] = {
    name: DatasetSpec(name=name, description=description, make=make)
    for name, description, make in (
        ("facts", "facts of a world, each asked in twelve wordings", _facts),
        ("labels", "five labels without meaning, one in ten wrong in training", _labels),
        ("extraction", "who, where and when in a short report", _independent(_extraction)),
        ("arithmetic", "sums of two steps, the steps written down", _independent(_arithmetic)),
        ("sorting", "words backwards, numbers falling", _independent(_sorting)),
        ("formatting", "orders in a fixed notation", _independent(_formatting)),
        ("robot", "wishes as programs of a small machine", _independent(_robot)),
        ("profiles", "long answers written from a record", _independent(_profiles)),
        ("translation", "a language of 28 words to learn", _independent(_translation)),
        ("tagging", "parts of speech, word by word", _independent(_tagging)),
        ("guide", "polite chat answers from a passage", _guide),
    )
}
