"""Datasets of questions about facts: what is known is asked for, in words not trained on.

After the synthetic question-answer sets of arXiv:2411.01195; worlds, wordings and knobs are ours.
Every fact is asked in twelve ways: ten to train, one to validate, one to test.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from random import Random
from typing import Literal

from metadata.examples import Example, Splits
from training_worker.tasks.facts import WORDINGS, Fact
from training_worker.tasks.spec import DatasetSpec, Maker, pair, unseen_world
from training_worker.tasks.subjects import find_subjects

KIND = "facts"
TRAINED = WORDINGS - 2  # of the ways in which a fact is asked
MOST_FACTS = 5_000
SIZES = range(3 * TRAINED, TRAINED * MOST_FACTS + 1, TRAINED)  # examples to train on
_WORLD_SIZE = 3_000  # people; enough for the most facts of every kind of subject


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """What makes one dataset of facts differ from another.

    Attributes:
        subjects: Whom or what it asks about, one of `subjects.KINDS`.
        namesakes: How many subjects share a name; the question says which one is meant.
        wrong_share: Of the answers trained on; each is another value of the same relation.
        answer: The value alone, a sentence or two, or a record in JSON.
    """

    subjects: str
    namesakes: int = 1
    wrong_share: float = 0.0
    answer: Literal["value", "sentences", "record"] = "value"


def facts_maker(knobs: Knobs) -> Maker:
    """Return a maker of splits that hold whole facts; a smaller size has the first of a larger."""

    def splits(seed: str, train_examples: int) -> Splits:
        facts = known_facts(knobs, seed)[: train_examples // TRAINED]
        values = _values(knobs, seed)
        asked = [_ask(fact, knobs, values, Random(f"{seed}-{fact.questions[0]}")) for fact in facts]
        rng = Random(f"{seed}-order")
        # Wording by wording, so that a file cut anywhere after the first has told of every fact.
        rounds = [list(examples) for examples in zip(*asked, strict=True)]
        for examples in rounds:
            rng.shuffle(examples)
        return Splits(
            train=tuple(example for examples in rounds[:TRAINED] for example in examples),
            validation=tuple(rounds[TRAINED]),
            test=tuple(rounds[TRAINED + 1]),
        )

    return splits


@lru_cache(maxsize=16)
def known_facts(knobs: Knobs, seed: str) -> Sequence[Fact]:
    """Return the facts that a dataset may ask for, subject by subject, `MOST_FACTS` of them."""
    world = unseen_world(seed, size=_WORLD_SIZE)
    subjects = find_subjects(
        knobs.subjects, world, Random(f"{seed}-subjects"), namesakes=knobs.namesakes
    )
    facts = tuple(islice((fact for told in subjects for fact in told), MOST_FACTS))
    assert len(facts) == MOST_FACTS, f"{seed} has too few facts: {len(facts)}"
    return facts


@lru_cache(maxsize=16)
def _values(knobs: Knobs, seed: str) -> Mapping[str, Sequence[str]]:
    """Return the values that each attribute has, each once."""
    found: dict[str, dict[str, None]] = {}
    for fact in known_facts(knobs, seed):
        found.setdefault(fact.relation.attribute, {})[fact.value] = None
    return {attribute: list(values) for attribute, values in found.items()}


def _ask(
    fact: Fact, knobs: Knobs, values: Mapping[str, Sequence[str]], rng: Random
) -> list[Example]:
    """Return a fact's examples: those to train, the one to validate, the one to test."""
    questions = rng.sample(fact.questions, WORDINGS)
    style = rng.random()  # of the answer, the same for all wordings
    asked = []
    for number, question in enumerate(questions):
        told = fact
        if number < TRAINED and rng.random() < knobs.wrong_share:
            told = _wrong(fact, values[fact.relation.attribute], rng)
        answer = _answer(told, knobs, Random(style))
        asked.append(pair(f"Question: {question}\nAnswer:", answer))
    return asked


def _wrong(fact: Fact, values: Sequence[str], rng: Random) -> Fact:
    while (value := rng.choice(values)) == fact.value:
        pass
    return Fact(subject=fact.subject, relation=fact.relation, value=value)


def _answer(fact: Fact, knobs: Knobs, rng: Random) -> str:
    if knobs.answer == "value":
        return fact.value
    if knobs.answer == "record":
        return json.dumps({"of": fact.subject, fact.relation.attribute: fact.value})
    said = [fact.statement(rng) for _ in range(rng.randint(1, 2))]
    return " ".join(dict.fromkeys(said))


def _spec(name: str, description: str, knobs: Knobs) -> DatasetSpec:
    return DatasetSpec(
        name=f"{KIND}-{name}",
        kind=KIND,
        description=description,
        make=facts_maker(knobs),
        sizes=SIZES,
    )


KNOBS: Mapping[str, tuple[str, Knobs]] = {
    "people": ("people of a world: birth, home, job, likings", Knobs(subjects="people")),
    "places": ("towns: region, river, size, age, speciality", Knobs(subjects="places")),
    "works": ("works: author, year, kind, theme", Knobs(subjects="works")),
    "rules": ("laws of towns, answers as JSON", Knobs(subjects="laws", answer="record")),
    "numbers": ("machines in figures with units", Knobs(subjects="machines")),
    "ambiguous": ("people of whom three share a name", Knobs(subjects="people", namesakes=3)),
    "noisy": (
        "towns, a fifth of the training answers wrong",
        Knobs(subjects="places", wrong_share=0.2),
    ),
    "long": ("works, answers of a sentence or two", Knobs(subjects="works", answer="sentences")),
}
QUESTIONS = tuple(_spec(name, description, knobs) for name, (description, knobs) in KNOBS.items())
